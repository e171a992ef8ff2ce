using Microsoft.Extensions.Logging;
using NbdFuse.Native;

namespace NbdFuse.Client;

/// <summary>Starts a server on one end of a socket pair, as its standard input and output.</summary>
internal sealed class CommandTransport : NbdTransport
{
    private readonly CommandTarget _target;
    private readonly Lock _lock = new();
    private bool _used;
    private ServerProcess? _server;
    private FileDescriptor? _handedOut;

    /// <summary>Prepares the transport; nothing is started yet.</summary>
    public CommandTransport(CommandTarget target, NbdTransportOptions options, ILogger logger)
        : base(target, options, logger) => _target = target;

    /// <inheritdoc/>
    public override Task<FileDescriptor> ConnectAsync(CancellationToken cancellationToken = default) =>
        BlockingWork.RunAsync(Start, cancellationToken);

    /// <inheritdoc/>
    public override void Abandon() => _server?.Abandon();

    /// <inheritdoc/>
    public override async ValueTask DisposeAsync()
    {
        ServerProcess? server;
        lock (_lock)
        {
            _used = true;
            server = _server;

            // The end of its input is what tells the server to end. A caller who still holds the connection has
            // nobody to talk to from here on.
            _handedOut?.Dispose();
        }

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

    private FileDescriptor Start()
    {
        lock (_lock)
        {
            if (_used)
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
