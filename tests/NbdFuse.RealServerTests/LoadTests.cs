using NbdFuse.Block;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.RealServerTests;

/// <summary>Many requests at a time.</summary>
public sealed class LoadTests
{
    [Theory]
    [InlineData(1, true)]
    [InlineData(4, true)]
    [InlineData(4, false)]
    public async Task Two_hundred_delayed_requests_are_in_flight_together_and_all_right(int connections, bool structured)
    {
        await using RealServer server = await RealServers.Nbdkit(
            [.. structured ? Array.Empty<string>() : ["--no-sr"], "-t", "64", "--filter=delay", "pattern", "64M", "rdelay=50ms"]);
        await using ClientStack stack = await ClientStack.OpenAsync(server, connections);
        (int Offset, byte[] Buffer, CountedRequest Request)[] reads =
        [
            .. Enumerable.Range(0, 200).Select(i =>
            {
                byte[] buffer = GC.AllocateArray<byte>(i % 20 == 0 ? 300_000 : 1 + (i * 97), pinned: true);
                int offset = i * 310_001;
                return (offset, buffer, stack.SubmitAsync(BlockOperation.Read, 0, offset, buffer.Length, buffer));
            }),
        ];
        int[] errors = await stack.WithinAsync(Task.WhenAll(reads.Select(read => read.Request.Ended)), "all the reads");
        Assert.All(errors, error => Assert.Equal(0, error));
        foreach ((int offset, byte[] buffer, CountedRequest request) in reads)
        {
            PatternData.AssertEqual(NbdkitPattern.Create(offset, buffer.Length), buffer, offset);
            Assert.Equal(1, request.Ends);
        }

        Assert.True(stack.Queue.Statistics.PeakInFlight >= 150, $"only {stack.Queue.Statistics.PeakInFlight} were in flight together");
        Assert.All(stack.Export.RequestsPerConnection, count => Assert.True(count > 0));
    }

    [Theory]
    [InlineData(RealServerKind.Nbdkit, 4, ServerTransport.Tcp)]
    [InlineData(RealServerKind.QemuNbd, 4, ServerTransport.Unix)]
    [InlineData(RealServerKind.NbdServer, 2, ServerTransport.Unix)]
    [InlineData(RealServerKind.QemuStorageDaemon, 8, ServerTransport.Unix)]
    [InlineData(RealServerKind.Embedded, 8, ServerTransport.Unix)]
    public async Task Large_and_small_requests_mixed_use_every_connection(RealServerKind kind, int connections, ServerTransport transport)
    {
        await using RealServer server = await RealServers.StartAsync(kind, new() { Transport = transport, Size = 32 << 20 });
        await using ClientStack stack = await ClientStack.OpenAsync(server, connections);
        Assert.Equal(connections, stack.Export.Connections);
        (int Offset, int Length)[] ranges =
            [.. Enumerable.Range(0, 240).Select(i => (i * 130_000, i % 8 == 0 ? 128 * 1024 : 512 + (i * 16)))];
        await Task.WhenAll(ranges.Select(r => stack.WriteAsync(r.Offset, PatternData.Create(1, r.Offset, Math.Min(r.Length, 130_000)))));
        await stack.FlushAsync();
        await Task.WhenAll(ranges.Select(r => stack.VerifyAsync(r.Offset, PatternData.Create(1, r.Offset, Math.Min(r.Length, 130_000)))));
        Assert.All(stack.Export.RequestsPerConnection, count => Assert.True(count > 0, "a connection was never used"));
        foreach ((int offset, int length) in ranges)
        {
            byte[] expected = PatternData.Create(1, offset, Math.Min(length, 130_000));
            PatternData.AssertEqual(expected, server.ReadBacking(offset, expected.Length), offset);
        }
    }

    [Fact]
    public async Task Fewer_connections_than_asked_for_will_do()
    {
        // Advertises several, and takes only two.
        await using RealServer server = await RealServers.QemuNbd(new() { Extra = ["-e", "2"] });
        await using ClientStack stack = await ClientStack.OpenAsync(
            server.Uri, new() { Connections = 4, HandshakeTimeout = TimeSpan.FromSeconds(2) });
        Assert.Equal(2, stack.Export.Connections);
        byte[] data = PatternData.Create(2, 0, 1 << 20);
        await stack.WriteAsync(0, data);
        await stack.VerifyAsync(0, data);
    }
}
