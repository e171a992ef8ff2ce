using Microsoft.Extensions.Logging.Abstractions;
using NbdFuse.Client;
using NbdFuse.Native;
using NbdFuse.Protocol;
using NbdFuse.TestKit;

namespace NbdFuse.Fuzz;

/// <summary>Records what real servers and clients say in handshakes, as the corpus. Run by hand when it shall grow.</summary>
internal static class Capture
{
    /// <summary>Writes one file per server and conversation.</summary>
    /// <param name="directory">The corpus.</param>
    public static async Task RunAsync(string directory)
    {
        foreach (RealServerKind kind in RealServers.Kinds)
        {
            await using RealServer server = await RealServers.StartAsync(kind, new RealServerOptions { Size = 1 << 20 }).ConfigureAwait(false);
            await using var proxy = new FaultProxy(server);
            NbdTarget target = NbdTarget.FromUri(NbdUri.Parse(proxy.Uri));
            var options = new NbdHandshakeOptions { ExportName = server.ExportName };
            await using NbdTransport transport = NbdTransport.Create(target);
            int connection = 0;
            foreach ((string name, Func<FileDescriptor, Task> talk) in new (string, Func<FileDescriptor, Task>)[]
            {
                ("handshake", socket => NbdHandshake.NegotiateAsync(socket, options, NullLogger.Instance)),
                ("info", socket => NbdHandshake.NegotiateAsync(socket, options with { Goal = NbdHandshakeGoal.Info }, NullLogger.Instance)),
                ("list", socket => NbdHandshake.ListAsync(socket, options, withInfo: true, NullLogger.Instance)),
            })
            {
                using (FileDescriptor socket = await transport.ConnectAsync().ConfigureAwait(false))
                {
                    try
                    {
                        await talk(socket).ConfigureAwait(false);
                    }
                    catch (NbdException refusal)
                    {
                        // What a server says when it refuses is worth having, too.
                        Console.WriteLine($"{kind} {name}: {refusal.Message}");
                    }
                }

                Save(directory, name, kind, proxy.RecordedToClient(connection));
                Save(directory, "server", kind, proxy.RecordedToServer(connection), name);
                connection++;
            }
        }
    }

    private static void Save(string directory, string target, RealServerKind kind, byte[] bytes, string? variant = null)
    {
        string folder = Path.Combine(directory, target);
        Directory.CreateDirectory(folder);
        string name = $"{kind.ToString().ToLowerInvariant()}{(variant is null ? string.Empty : "-" + variant)}.bin";
        File.WriteAllBytes(Path.Combine(folder, name), bytes);
        Console.WriteLine($"{Path.Combine(folder, name)}: {bytes.Length} bytes");
    }
}
