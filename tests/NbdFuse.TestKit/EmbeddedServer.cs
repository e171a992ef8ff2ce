using System.Net;
using NbdFuse.Server;

namespace NbdFuse.TestKit;

/// <summary>NbdFuse.Server in this process, over a file.</summary>
public sealed class EmbeddedServer : RealServer
{
    private readonly Func<IBackend> _open;
    private readonly Func<IBackend, NbdServerOptions> _configure;
    private IBackend? _backend;

    internal EmbeddedServer(
        TempDirectory directory,
        EndPoint endPoint,
        string exportName,
        Func<IBackend> open,
        Func<IBackend, NbdServerOptions> configure)
        : base(directory, endPoint, exportName)
    {
        _open = open;
        _configure = configure;
    }

    /// <summary>The server that runs now.</summary>
    public NbdServer? Server { get; private set; }

    /// <inheritdoc/>
    public override string Log => string.Empty;

    /// <inheritdoc/>
    public override void Kill() => StopAsync().GetAwaiter().GetResult();

    /// <inheritdoc/>
    public override async Task StopAsync()
    {
        if (Server is not null)
        {
            await Server.DisposeAsync().ConfigureAwait(false);
            Server = null;
        }

        _backend?.Dispose();
        _backend = null;
    }

    /// <inheritdoc/>
    public override async Task RestartAsync()
    {
        await StopAsync().ConfigureAwait(false);
        _backend = _open();
        var server = new NbdServer(_configure(_backend));
        Server = server;
        await server.StartAsync(EndPoint).ConfigureAwait(false);
    }

    private protected override async ValueTask DisposeCoreAsync() => await StopAsync().ConfigureAwait(false);
}
