using System.Net;
using System.Net.Sockets;
using NbdFuse.Protocol;
using NbdFuse.Server;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.UnitTests.Server;

public sealed class ServerStartTests
{
    [Fact]
    public async Task Port_zero_is_replaced_by_the_port_that_was_bound()
    {
        await using NbdServer server = Make(new MemoryExport(4096));
        await server.StartAsync(new IPEndPoint(IPAddress.Loopback, 0));
        Assert.NotEqual(0, Assert.IsType<IPEndPoint>(server.EndPoint).Port);
        using WireClient client = await WireClient.OpenAsync(server.EndPoint);
        Assert.Equal(NbdError.None, await client.WriteAsync(0, [1]));
    }

    [Fact]
    public async Task Stale_unix_socket_is_replaced()
    {
        using var directory = new TempDirectory();
        var endPoint = new UnixDomainSocketEndPoint(directory["nbd.sock"]);
        using (var dead = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified))
        {
            // Bound without listening is how the socket of a killed server answers.
            dead.Bind(endPoint);
            await using NbdServer server = Make(new MemoryExport(4096));
            await server.StartAsync(endPoint);
            using WireClient client = await WireClient.OpenAsync(endPoint);
            Assert.Equal(NbdError.None, await client.WriteAsync(0, [1]));
        }
    }

    [Fact]
    public async Task Socket_of_a_living_server_is_left_alone()
    {
        using var directory = new TempDirectory();
        var endPoint = new UnixDomainSocketEndPoint(directory["nbd.sock"]);
        await using NbdServer first = Make(new MemoryExport(4096));
        await first.StartAsync(endPoint);
        await using NbdServer second = Make(new MemoryExport(4096));
        await Assert.ThrowsAsync<SocketException>(() => second.StartAsync(endPoint));
        using WireClient client = await WireClient.OpenAsync(endPoint);
        Assert.Equal(NbdError.None, await client.WriteAsync(0, [1]));
    }

    [Fact]
    public async Task Second_server_on_a_port_is_refused()
    {
        // With SO_REUSEPORT it would start, and a client's connections would be spread over two disks.
        await using NbdServer first = Make(new MemoryExport(4096));
        await first.StartAsync(new IPEndPoint(IPAddress.Loopback, 0));
        await using NbdServer second = Make(new MemoryExport(4096));
        SocketException error = await Assert.ThrowsAsync<SocketException>(() => second.StartAsync(first.EndPoint!));
        Assert.Equal(SocketError.AddressAlreadyInUse, error.SocketErrorCode);
    }

    [Fact]
    public async Task Plain_file_at_the_address_is_left_alone()
    {
        using var directory = new TempDirectory();
        string path = directory.CreateFile("precious", "data"u8);
        await using NbdServer server = Make(new MemoryExport(4096));
        await Assert.ThrowsAsync<SocketException>(() => server.StartAsync(new UnixDomainSocketEndPoint(path)));
        Assert.Equal("data", File.ReadAllText(path));
    }

    [Fact]
    public async Task One_connection_can_be_served_without_listening()
    {
        using var directory = new TempDirectory();
        using Socket listener = NbdUris.Listen(ServerTransport.Unix, directory);
        await using NbdServer server = Make(new MemoryExport(4096));
        Task<WireClient> connecting = WireClient.OpenAsync(listener.LocalEndPoint!);
        Task serving = server.ServeConnectionAsync(await listener.AcceptAsync());
        using (WireClient client = await connecting)
        {
            await client.SendRequestAsync(NbdCommand.Disc);
            await Deadline.Within(serving, "the connection to end");
        }
    }

    [Fact]
    public void Contradictory_options_are_refused()
    {
        using var memory = new MemoryExport(4096);
        var export = new NbdServerExport { Name = "a", Backend = memory };
        Assert.Throws<ArgumentException>(() => new NbdServer(new NbdServerOptions { Exports = [] }));
        Assert.Throws<ArgumentException>(() => new NbdServer(new NbdServerOptions { Exports = [export, export] }));
        Assert.Throws<ArgumentException>(() => new NbdServer(new NbdServerOptions
        {
            Exports = [export with { BlockSizes = new NbdBlockSizes(3, 4096, 4096) }],
        }));
        Assert.Throws<ArgumentException>(() => new NbdServer(new NbdServerOptions
        {
            Exports = [export with { Name = new string('x', 5000) }],
        }));
    }

    private static NbdServer Make(IBackend backend) =>
        new(new NbdServerOptions { Exports = [new NbdServerExport { Backend = backend }] });
}
