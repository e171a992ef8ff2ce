using System.Net;
using System.Net.Sockets;
using NbdFuse.Server;

namespace NbdFuse.TestKit;

/// <summary>Starts the servers of the tests. A server that this machine lacks skips the test.</summary>
public static class RealServers
{
    // The port that was free may be gone when the server binds it.
    private const int Attempts = 5;

    /// <summary>Every kind, for a theory over all of them.</summary>
    public static IReadOnlyList<RealServerKind> Kinds { get; } = Enum.GetValues<RealServerKind>();

    /// <summary>Starts a server of a kind over a file.</summary>
    /// <param name="kind">Which server.</param>
    /// <param name="options">What it serves.</param>
    public static Task<RealServer> StartAsync(RealServerKind kind, RealServerOptions? options = null) => kind switch
    {
        RealServerKind.Nbdkit => NbdkitFile(options ?? new()),
        RealServerKind.NbdServer => NbdServer(options ?? new()),
        RealServerKind.QemuNbd => QemuNbd(options ?? new()),
        RealServerKind.QemuStorageDaemon => QemuStorageDaemon(options ?? new()),
        RealServerKind.Embedded => Embedded(options ?? new()),
        _ => throw new ArgumentOutOfRangeException(nameof(kind)),
    };

    /// <summary>Starts nbdkit on a unix socket.</summary>
    /// <param name="args">Filters, plugin and their parameters.</param>
    public static Task<RealServer> Nbdkit(params string[] args) => Nbdkit(ServerTransport.Unix, args);

    /// <summary>Starts nbdkit.</summary>
    /// <param name="transport">How it is reached.</param>
    /// <param name="args">Filters, plugin and their parameters.</param>
    public static Task<RealServer> Nbdkit(ServerTransport transport, params string[] args) =>
        NbdkitAt(transport, string.Empty, _ => args, null);

    /// <summary>Starts nbdkit's file plugin.</summary>
    /// <param name="options">What it serves.</param>
    public static Task<RealServer> NbdkitFile(RealServerOptions options) => NbdkitAt(
        options.Transport,
        options.ExportName,
        directory => [.. options.Extra, .. options.ReadOnly ? new[] { "-r" } : [], "file", directory["disk.img"]],
        options);

    /// <summary>Starts nbd-server.</summary>
    /// <param name="options">What it serves.</param>
    public static Task<RealServer> NbdServer(RealServerOptions options)
    {
        string file = Requires.Command("nbd-server");
        string name = options.ExportName.Length == 0 ? "export" : options.ExportName;
        return LaunchAsync(options.Transport, options, (directory, endPoint) =>
        {
            string listen = endPoint is IPEndPoint ip
                ? $"listenaddr = {ip.Address}\nport = {ip.Port}"
                : $"unixsock = {endPoint}";
            string config = directory.CreateFile(
                "nbd-server.conf",
                System.Text.Encoding.UTF8.GetBytes($"""
                    [generic]
                    {listen}
                    allowlist = true
                    [{name}]
                    exportname = {directory["disk.img"]}
                    flush = true
                    fua = true
                    trim = true
                    readonly = {(options.ReadOnly ? "true" : "false")}
                    {string.Join('\n', options.Extra)}

                    """));

            return new DaemonServer(directory, endPoint, name, file, ["-C", config], directory["server.pid"])
            {
                BackingFile = directory["disk.img"],
            };
        });
    }

    /// <summary>Starts qemu-nbd.</summary>
    /// <param name="options">What it serves.</param>
    public static Task<RealServer> QemuNbd(RealServerOptions options)
    {
        string file = Requires.Command("qemu-nbd");
        return LaunchAsync(options.Transport, options, (directory, endPoint) => new ProcessServer(
            directory,
            endPoint,
            options.ExportName,
            file,
            [
                "-f", "raw", "-t", "-e", "16", "--discard=unmap", "-x", options.ExportName,
                .. endPoint is IPEndPoint ip
                    ? new[] { "-b", ip.Address.ToString(), "-p", $"{ip.Port}" }
                    : ["-k", endPoint.ToString()!],
                .. options.ReadOnly ? new[] { "-r" } : [],
                $"--pid-file={directory["server.pid"]}",
                .. options.Extra,
                directory["disk.img"],
            ],
            directory["server.pid"])
        {
            BackingFile = directory["disk.img"],
        });
    }

    /// <summary>Starts qemu-storage-daemon.</summary>
    /// <param name="options">What it serves.</param>
    public static Task<RealServer> QemuStorageDaemon(RealServerOptions options)
    {
        string file = Requires.Command("qemu-storage-daemon");
        return LaunchAsync(options.Transport, options, (directory, endPoint) => new ProcessServer(
            directory,
            endPoint,
            options.ExportName,
            file,
            [
                "--blockdev", $"driver=file,node-name=disk,discard=unmap,filename={directory["disk.img"]},read-only={(options.ReadOnly ? "on" : "off")}",
                "--nbd-server",
                endPoint is IPEndPoint ip
                    ? $"addr.type=inet,addr.host={ip.Address},addr.port={ip.Port},max-connections=16"
                    : $"addr.type=unix,addr.path={endPoint},max-connections=16",
                "--export", $"type=nbd,id=export,node-name=disk,name={options.ExportName},writable={(options.ReadOnly ? "off" : "on")}",
                "--pidfile", directory["server.pid"],
                .. options.Extra,
            ],
            directory["server.pid"])
        {
            BackingFile = directory["disk.img"],
        });
    }

    /// <summary>Starts our own server over a file.</summary>
    /// <param name="options">What it serves; extra arguments are not taken.</param>
    public static Task<RealServer> Embedded(RealServerOptions options) => LaunchAsync(
        options.Transport,
        options,
        (directory, endPoint) => new EmbeddedServer(
            directory,
            endPoint,
            options.ExportName,
            () => new FileExport(directory["disk.img"], options.ReadOnly),
            backend => new NbdServerOptions
            {
                Exports = [new NbdServerExport { Name = options.ExportName, Backend = backend, ReadOnly = options.ReadOnly }],
            })
        {
            BackingFile = directory["disk.img"],
        });

    /// <summary>Starts our own server over a backend of the test's making.</summary>
    /// <param name="open">Makes the backend, anew after each stop; return one object again to keep its content.</param>
    /// <param name="configure">Makes the server's options; by default one nameless export.</param>
    /// <param name="transport">How it is reached.</param>
    public static async Task<EmbeddedServer> Embedded(
        Func<IBackend> open,
        Func<IBackend, NbdServerOptions>? configure = null,
        ServerTransport transport = ServerTransport.Unix)
    {
        configure ??= backend => new NbdServerOptions { Exports = [new NbdServerExport { Backend = backend }] };
        return (EmbeddedServer)await LaunchAsync(
            transport,
            null,
            (directory, endPoint) => new EmbeddedServer(directory, endPoint, string.Empty, open, configure)).ConfigureAwait(false);
    }

    private static Task<RealServer> NbdkitAt(
        ServerTransport transport, string exportName, Func<TempDirectory, string[]> args, RealServerOptions? options)
    {
        string file = Requires.Command("nbdkit");
        return LaunchAsync(transport, options, (directory, endPoint) => new ProcessServer(
            directory,
            endPoint,
            exportName,
            file,
            [
                "-f", "-P", directory["server.pid"],
                .. endPoint is IPEndPoint ip
                    ? new[] { "-i", ip.Address.ToString(), "-p", $"{ip.Port}" }
                    : ["-U", endPoint.ToString()!],
                .. args(directory),
            ],
            directory["server.pid"])
        {
            BackingFile = options is null ? null : directory["disk.img"],
        });
    }

    private static async Task<RealServer> LaunchAsync(
        ServerTransport transport, RealServerOptions? options, Func<TempDirectory, EndPoint, RealServer> make)
    {
        for (int attempt = 1; ; attempt++)
        {
            var directory = new TempDirectory();
            RealServer? server = null;
            try
            {
                if (options?.Content is byte[] content)
                {
                    directory.CreateFile("disk.img", content);
                }
                else if (options is not null)
                {
                    directory.CreateFile("disk.img", options.Size);
                }

                EndPoint endPoint = transport == ServerTransport.Tcp
                    ? NbdUris.FreeTcp()
                    : new UnixDomainSocketEndPoint(directory["nbd.sock"]);
                server = make(directory, endPoint);
                await server.RestartAsync().ConfigureAwait(false);
                return server;
            }
            catch (Exception error)
            {
                if (server is not null)
                {
                    await server.DisposeAsync().ConfigureAwait(false);
                }

                directory.Dispose();
                bool mayBePort = transport == ServerTransport.Tcp && error is ServerStartException or SocketException;
                if (!mayBePort || attempt == Attempts)
                {
                    throw;
                }
            }
        }
    }
}
