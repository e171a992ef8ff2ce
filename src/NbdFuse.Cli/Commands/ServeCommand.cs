using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging;
using NbdFuse.Protocol;
using NbdFuse.Server;

namespace NbdFuse.Cli;

/// <summary>The embedded server: serves memory or a file until a signal comes.</summary>
internal static class ServeCommand
{
    /// <summary>Runs to the end of the server.</summary>
    /// <param name="options">What to serve, and where.</param>
    /// <param name="loggers">The log.</param>
    /// <param name="output">Standard output: receives the URI when clients can connect.</param>
    /// <returns>0: a server has no other end than a signal.</returns>
    public static async Task<int> RunAsync(ServeOptions options, ILoggerFactory loggers, TextWriter output)
    {
        ILogger logger = loggers.CreateLogger("serve");
        PidFile.Check(options.PidFile);
        using IBackend backend = options.MemoryBytes is { } size ? new MemoryExport(size) : new FileExport(options.File!, options.ReadOnly);
        using var signals = new TerminationSignals(() => Environment.Exit(MountCommand.Failed));
        var server = new NbdServer(new NbdServerOptions
        {
            Exports =
            [
                new NbdServerExport
                {
                    Name = options.Name,
                    Description = options.Description,
                    Backend = backend,
                    ReadOnly = options.ReadOnly,
                },
            ],
            Logger = logger,
        });
        await using (server.ConfigureAwait(false))
        {
            await StartAsync(server, options).ConfigureAwait(false);
            string uri = UriOf(options, server.EndPoint);
            await output.WriteAsync(uri + "\n").ConfigureAwait(false);
            await output.FlushAsync().ConfigureAwait(false);
            CommandLog.Listening(logger, uri);
            PidFile.Write(options.PidFile);
            SystemdNotifier.Notify("READY=1", logger);
            await signals.First.ConfigureAwait(false);
            SystemdNotifier.Notify("STOPPING=1", logger);
        }

        // What clients wrote and did not flush: the process ends, the file must not.
        NbdError result = backend.IsReadOnly ? NbdError.None : backend.Flush();
        return result == NbdError.None
            ? 0
            : throw new IOException($"{options.File}: the last flush failed: {result}");
    }

    /// <summary>The URI under which a client on this machine finds the server.</summary>
    /// <param name="options">Where it was to listen.</param>
    /// <param name="endPoint">Where it listens.</param>
    internal static string UriOf(ServeOptions options, EndPoint? endPoint)
    {
        string name = Uri.EscapeDataString(options.Name).Replace("%2F", "/", StringComparison.Ordinal);
        if (options.UnixPath is { } path)
        {
            string socket = path.StartsWith('@') ? '\0' + path[1..] : Path.GetFullPath(path);
            return $"nbd+unix:///{name}?socket={Uri.EscapeDataString(socket).Replace("%2F", "/", StringComparison.Ordinal)}";
        }

        var ip = (IPEndPoint)endPoint!;
        string host = ip.Address.Equals(IPAddress.Any) || ip.Address.Equals(IPAddress.IPv6Any) || IPAddress.IsLoopback(ip.Address)
            ? ip.AddressFamily == AddressFamily.InterNetworkV6 && !ip.Address.Equals(IPAddress.IPv6Any) ? "[::1]" : "localhost"
            : ip.AddressFamily == AddressFamily.InterNetworkV6 ? $"[{ip.Address}]" : ip.Address.ToString();
        return ip.Port == NbdLimits.DefaultPort ? $"nbd://{host}/{name}" : $"nbd://{host}:{ip.Port}/{name}";
    }

    private static async Task StartAsync(NbdServer server, ServeOptions options)
    {
        string place = options.UnixPath ?? new IPEndPoint(options.Bind, options.Port ?? NbdLimits.DefaultPort).ToString();
        try
        {
            EndPoint endPoint = options.UnixPath is { } path
                ? new UnixDomainSocketEndPoint(path.StartsWith('@') ? '\0' + path[1..] : path)
                : new IPEndPoint(options.Bind, options.Port ?? NbdLimits.DefaultPort);
            await server.StartAsync(endPoint).ConfigureAwait(false);
        }
        catch (SocketException e)
        {
            string remedy = e.SocketErrorCode switch
            {
                SocketError.AddressAlreadyInUse => "; end what listens there, or choose another (--port 0 takes a free one)",
                SocketError.AccessDenied => "; ports below 1024 and foreign directories need root",
                _ => string.Empty,
            };
            throw new IOException($"cannot listen at {place}: {e.Message}{remedy}", e);
        }
        catch (ArgumentException e) when (options.UnixPath is not null)
        {
            // sun_path of unix(7), of which the last byte ends the text.
            throw new IOException(
                $"cannot listen at {place}: a socket's path has 1 to 107 bytes; choose a shorter one, or a relative one", e);
        }
    }
}
