using Microsoft.Extensions.Logging;
using NbdFuse.Native;

namespace NbdFuse.Client;

/// <summary>Starts a server with a listening unix socket in a private directory, and connects to it as often as asked.</summary>
internal sealed class SocketActivationTransport : NbdTransport
{
    private const int Backlog = 64;

    private readonly SocketActivationTarget _target;
    private readonly Lock _lock = new();
    private bool _disposed;
    private DirectoryInfo? _directory;
    private ServerProcess? _server;
    private UnixTarget? _socket;

    /// <summary>Prepares the transport; nothing is started yet.</summary>
    public SocketActivationTransport(SocketActivationTarget target, NbdTransportOptions options, ILogger logger)
        : base(target, options, logger) => _target = target;

    /// <inheritdoc/>
    public override async Task<FileDescriptor> ConnectAsync(CancellationToken cancellationToken = default)
    {
        try
        {
            return await BlockingWork.RunAsync(
                () => LocalTransport.Connect(EnsureStarted(), Options, Logger, cancellationToken),
                cancellationToken).ConfigureAwait(false);
        }
        catch (NbdConnectException e)
        {
            throw await ExplainAsync(e).ConfigureAwait(false) ?? e;
        }
    }

    /// <inheritdoc/>
    public override void Abandon()
    {
        // Without the lock, which a start that hangs would hold.
        _server?.Abandon();
        RemoveDirectory();
    }

    /// <inheritdoc/>
    public override async ValueTask DisposeAsync()
    {
        ServerProcess? server;
        lock (_lock)
        {
            _disposed = true;
            server = _server;
        }

        if (server is not null)
        {
            await server.DisposeAsync().ConfigureAwait(false);
        }

        RemoveDirectory();
        await base.DisposeAsync().ConfigureAwait(false);
    }

    private protected override Task<NbdConnectException?> ExplainAsync(NbdConnectException failure)
    {
        ServerProcess? server = _server;
        bool lost = failure.Reason is NbdConnectFailure.ClosedByServer or NbdConnectFailure.Refused;
        return server is null || (!lost && failure.Reason != NbdConnectFailure.HandshakeTimeout)
            ? Task.FromResult<NbdConnectException?>(null)
            : server.DescribeEndAsync(lost ? Options.CommandExitTimeout : TimeSpan.Zero, failure);
    }

    private UnixTarget EnsureStarted()
    {
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            if (_target.Respawn && _server is { HasEnded: true })
            {
                // Its socket went with it.
                _server.Reap();
                _server = null;
                _socket = null;
                RemoveDirectory();
            }

            if (_socket is null)
            {
                try
                {
                    _socket = Start();
                }
                catch
                {
                    RemoveDirectory();
                    throw;
                }
            }

            return _socket;
        }
    }

    private UnixTarget Start()
    {
        // Mode 0700: nobody else may connect before us, or at all.
        _directory = Directory.CreateTempSubdirectory("nbdfuse-");
        var target = new UnixTarget(Path.Combine(_directory.FullName, "socket"));
        byte[] address;
        try
        {
            address = SocketAddresses.ForUnix(target.Path);
        }
        catch (ArgumentException e)
        {
            throw new NbdConnectException(
                NbdConnectFailure.CommandNotStarted, $"{target} has too long a path; set TMPDIR to a shorter one", e);
        }

        // Closed here once the child has it: when the server dies, connecting must fail.
        using FileDescriptor listener = FileDescriptor.OwnOrThrow(
            Posix.Socket(SocketConstants.AF_UNIX, SocketConstants.SOCK_STREAM), "make a socket");
        PosixException.Check(Posix.Bind(listener.Value, address), $"bind {target}");
        PosixException.Check(Posix.Listen(listener.Value, Backlog), $"listen on {target}");
        _server = ServerProcess.Start(
            // A session of its own: a terminal's ^C is meant for us, and the server must live until the last FLUSH is answered.
            SocketActivation.Options(_target.Arguments, [listener.Value]) with { NewSession = true },
            Target,
            Options.CommandExitTimeout,
            endsByItself: false,
            Logger);
        return target;
    }

    private void RemoveDirectory()
    {
        DirectoryInfo? directory = Interlocked.Exchange(ref _directory, null);
        try
        {
            directory?.Delete(recursive: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            Log.CleanUpFailed(Logger, directory!.FullName, e.Message);
        }
    }
}
