using Microsoft.Extensions.Logging;
using NbdFuse.Native;

namespace NbdFuse.Client;

/// <summary>Starts a server on one end of a socket pair, as its standard input and output.</summary>
/// <remarks>
/// With <see cref="CommandTarget.Respawn"/> another one is started when the one before has ended, and not sooner: two at once could
/// write to the same file, and the older one last.
/// </remarks>
internal sealed class CommandTransport : NbdTransport
{
    private readonly CommandTarget _target;
    private readonly Lock _lock = new();
    private bool _used;
    private ServerProcess? _server;
    private FileDescriptor? _handedOut;
    private Task _ending = Task.CompletedTask;
    private bool _isDisposed;

    /// <summary>Prepares the transport; nothing is started yet.</summary>
    public CommandTransport(CommandTarget target, NbdTransportOptions options, ILogger logger)
        : base(target, options, logger) => _target = target;

    /// <inheritdoc/>
    public override async Task<FileDescriptor> ConnectAsync(CancellationToken cancellationToken = default)
    {
        if (_target.Respawn)
        {
            await EndOfLast().WaitAsync(cancellationToken).ConfigureAwait(false);
        }

        return await BlockingWork.RunAsync(Start, cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public override void Abandon() => _server?.Abandon();

    /// <inheritdoc/>
    public override async ValueTask DisposeAsync()
    {
        ServerProcess? server;
        lock (_lock)
        {
            _used = true;
            _isDisposed = true;
            server = _server;

            // The end of its input is what tells the server to end. A caller who still holds the connection has
            // nobody to talk to from here on.
            _handedOut?.Dispose();
        }

        await _ending.ConfigureAwait(false);
        if (server is not null)
        {
            await server.DisposeAsync().ConfigureAwait(false);
        }

        await base.DisposeAsync().ConfigureAwait(false);
    }

    private protected override Task<NbdConnectException?> ExplainAsync(NbdConnectException failure)
    {
        ServerProcess? server = _server;
        return server is null || failure.Reason is not (NbdConnectFailure.ClosedByServer or NbdConnectFailure.HandshakeTimeout)
            ? Task.FromResult<NbdConnectException?>(null)
            : server.DescribeEndAsync(
                failure.Reason == NbdConnectFailure.ClosedByServer ? Options.CommandExitTimeout : TimeSpan.Zero, failure);
    }

    // The same for all attempts, each of which has its own patience.
    private Task EndOfLast()
    {
        lock (_lock)
        {
            if (_server is { } last && !_isDisposed)
            {
                _server = null;
                EndInput();
                _ending = Task.Run(last.DisposeAsync().AsTask, CancellationToken.None);
            }

            return _ending;
        }
    }

    // What tells a server to end that has not: it may have broken the protocol only.
    private void EndInput()
    {
        bool isHeld = false;
        try
        {
            _handedOut!.DangerousAddRef(ref isHeld);
            _ = Posix.Shutdown(_handedOut.Value, SocketConstants.SHUT_WR);
        }
        catch (ObjectDisposedException)
        {
            // The connection's owner was faster.
        }
        finally
        {
            if (isHeld)
            {
                _handedOut!.DangerousRelease();
            }
        }
    }

    private FileDescriptor Start()
    {
        lock (_lock)
        {
            if (_isDisposed || (_used && !(_target.Respawn && _server is null)))
            {
                throw new NbdConnectException(
                    NbdConnectFailure.CannotReopen,
                    $"the connection to {Target} is used up, and the command serves one only; use socket activation ([ ... ]) or an address");
            }

            _used = true;
            PosixException.Check(
                Posix.SocketPair(SocketConstants.AF_UNIX, SocketConstants.SOCK_STREAM, out int ours, out int theirs),
                "make a socket pair");
            FileDescriptor socket = FileDescriptor.Own(ours);

            // Closed here once the child has it: the server's end must be visible as the end of the stream.
            using FileDescriptor child = FileDescriptor.Own(theirs);
            try
            {
                // Ours only: a program does not expect a non-blocking standard input.
                PosixException.Check(Posix.SetNonBlocking(ours, enable: true), "make the socket non-blocking");
                _server = ServerProcess.Start(
                    // A session of its own: a terminal's ^C or end is meant for us, and the server must live until the last FLUSH.
                    new SpawnOptions { Argv = [.. _target.Arguments], Descriptors = [(theirs, 0), (theirs, 1)], NewSession = true },
                    Target,
                    Options.CommandExitTimeout,
                    endsByItself: true,
                    Logger);
            }
            catch
            {
                socket.Dispose();
                throw;
            }

            _handedOut = socket;
            return socket;
        }
    }
}
