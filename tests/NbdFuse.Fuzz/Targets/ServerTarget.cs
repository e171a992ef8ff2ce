using NbdFuse.Protocol;
using NbdFuse.Server;

namespace NbdFuse.Fuzz.Targets;

/// <summary>A client of the embedded server that says the input and hangs up. Recorded clients are the corpus.</summary>
internal sealed class ServerTarget : IFuzzTarget
{
    private readonly MemoryExport _memory = new(16 << 20);

    public string Name => "server";

    public IEnumerable<byte[]> Seeds
    {
        get
        {
            byte[] start = File.ReadAllBytes(Path.Combine(AppContext.BaseDirectory, "Corpus", Name, "embedded-handshake.bin"));
            byte[] disconnect = Request(NbdCommand.Disc, 0, 0);
            yield return [.. start, .. Request(NbdCommand.Read, 4096, 8192), .. disconnect];
            yield return [.. start, .. Request(NbdCommand.Write, 512, 1024), .. new byte[1024], .. Request(NbdCommand.Flush, 0, 0), .. disconnect];
            yield return [.. start, .. Request(NbdCommand.WriteZeroes, 0, 1 << 20), .. Request(NbdCommand.Trim, 0, 4096), .. disconnect];
            yield return [.. start, .. Request(NbdCommand.Cache, 0, 4096), .. Request(NbdCommand.BlockStatus, 0, 65536), .. disconnect];
        }
    }

    public void Run(byte[] input)
    {
        var server = new NbdServer(new NbdServerOptions { Exports = [new NbdServerExport { Name = string.Empty, Backend = _memory }] });
        if (!server.ServeConnectionAsync(new OneWayStream(input)).Wait(TimeSpan.FromSeconds(40)))
        {
            throw new FuzzFailureException("the server does not end the connection of a client that has hung up");
        }

        server.DisposeAsync().AsTask().Wait();
    }

    public void Dispose() => _memory.Dispose();

    private static byte[] Request(NbdCommand command, ulong offset, uint length)
    {
        byte[] request = new byte[NbdRequestHeader.Size];
        NbdRequestHeader.Write(request, 0, command, 0x1122334455667788, offset, length);
        return request;
    }
}
