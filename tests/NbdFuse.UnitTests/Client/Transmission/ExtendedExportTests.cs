using System.Net.Sockets;
using Microsoft.Extensions.Logging.Abstractions;
using NbdFuse.Block;
using NbdFuse.Client;
using NbdFuse.Server;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.UnitTests.Client.Transmission;

/// <summary>Extended headers and block status of an open export.</summary>
public sealed class ExtendedExportTests : IDisposable
{
    private const long Size = 8L << 30;
    private readonly TempDirectory _directory = new();
    private readonly MemoryExport _memory = new(Size);

    public void Dispose()
    {
        _memory.Dispose();
        _directory.Dispose();
    }

    [Theory]
    [InlineData(true, true, true)]
    [InlineData(true, false, false)]
    [InlineData(false, true, false)]
    public async Task Rule41_Extended_headers_are_used_where_both_sides_want_them(bool server, bool client, bool expected)
    {
        await using NbdServer running = await StartAsync(new() { Exports = [Export], ExtendedHeaders = server });
        await using ExportDriver driver = await OpenAsync(new() { ExtendedHeaders = client, Connections = 2, Movers = 1 });
        Assert.Equal(expected, driver.Export.Negotiated.ExtendedHeaders);
        Assert.True(driver.Export.Info.CanBlockStatus);
        Assert.Equal(2, driver.Export.Connections);
        await driver.Write(512, 4096, 1);
        await driver.Write(1 << 20, 1 << 20, 2);
        PatternData.AssertEqual(PatternData.Create(1, 512, 4096), await driver.Read(512, 4096), 512);
        PatternData.AssertEqual(PatternData.Create(2, 1 << 20, 1 << 20), await driver.Read(1 << 20, 1 << 20), 1 << 20);
        Assert.Equal(0, await driver.Run(BlockOperation.WriteZeroes, 512, 4096, BlockRequestFlags.NoHole));
        Assert.Equal(0, await driver.Run(BlockOperation.Flush));
        PatternData.AssertZero(await driver.Read(512, 4096));
        Assert.Equal(0, await driver.Run(BlockOperation.BlockStatus, 100, 1000));
    }

    [Theory]
    [InlineData(true, 1)]
    [InlineData(false, 48)]
    public async Task Rule53_Trim_of_more_than_4_GiB_is_one_request_with_extended_headers(bool extended, long requests)
    {
        await using NbdServer running = await StartAsync(new() { Exports = [Export] });
        await using ExportDriver driver = await OpenAsync(new() { ExtendedHeaders = extended, Connections = 1 });
        await driver.Write(5L << 30, 4096, 1);
        long before = driver.Export.RequestsPerConnection.Sum();
        Assert.Equal(0, await driver.Run(BlockOperation.Trim, 0, 6L << 30));
        Assert.Equal(before + requests, driver.Export.RequestsPerConnection.Sum());
        Assert.Equal(0, _memory.AllocatedBytes);
    }

    [Fact]
    public async Task After_a_reconnection_to_a_server_without_them_everything_is_compact_and_data()
    {
        NbdServer running = await StartAsync(new() { Exports = [Export] });
        await using ExportDriver driver = await OpenAsync(new() { Connections = 2 });
        Assert.Equal(0, await driver.Run(BlockOperation.BlockStatus, 0, Size));
        await driver.Write(4096, 4096, 1);
        await running.DisposeAsync();
        await using NbdServer second = await StartAsync(new() { Exports = [Export], ExtendedHeaders = false, BlockStatus = false });
        await Deadline.Until(() => driver.Export.Reconnects >= 1 && driver.Export.State == NbdExportState.Ready, "the export to be ready again");
        Assert.Equal(BlockErrno.EOPNOTSUPP, await driver.Run(BlockOperation.BlockStatus, 0, Size));
        PatternData.AssertEqual(PatternData.Create(1, 4096, 4096), await driver.Read(4096, 4096), 4096);

        // The device goes on promising what one request could do, so it is cut below.
        Assert.Equal(0, await driver.Run(BlockOperation.Trim, 0, 6L << 30));
        Assert.Equal(0, _memory.AllocatedBytes);
    }

    private NbdServerExport Export => new() { Backend = _memory, MultiConn = true, BlockSizes = new(512, 4096, 1 << 20) };

    private async Task<NbdServer> StartAsync(NbdServerOptions options)
    {
        var server = new NbdServer(options);
        await server.StartAsync(new UnixDomainSocketEndPoint(_directory["nbd.sock"]));
        return server;
    }

    private async Task<ExportDriver> OpenAsync(NbdExportOptions options) =>
        new(await NbdExport.OpenAsync(new UnixTarget(_directory["nbd.sock"]), options, NullLogger.Instance));
}
