using System.Net.Sockets;
using Microsoft.Extensions.Logging.Abstractions;
using NbdFuse.Block;
using NbdFuse.Client;
using NbdFuse.Protocol;
using NbdFuse.Server;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.UnitTests.Client.Transmission;

public class NbdExportTests
{
    private const NbdTransmissionFlags MultiConn = NbdTransmissionFlags.HasFlags | NbdTransmissionFlags.CanMultiConn;

    private static readonly NbdExportOptions NoReconnect = new() { ReconnectTimeout = TimeSpan.Zero };

    public static TheoryData<int, int> Lanes { get; } = new()
    {
        // Connections, movers.
        { 1, -1 }, { 2, 0 }, { 2, 1 }, { 4, 0 }, { 4, 1 }, { 4, 3 }, { 5, 2 },
    };

    [Theory]
    [MemberData(nameof(Lanes))]
    public async Task Every_connection_is_used_and_the_data_is_right(int connections, int movers)
    {
        // Rule 72: several connections, because the server says that it may be.
        await using var server = await Embedded.StartAsync(16 << 20);
        await using var driver = new ExportDriver(await server.OpenAsync(new NbdExportOptions { Connections = connections, Movers = movers, WriteLogBytes = 64 << 20 }));
        Assert.Equal(connections, driver.Export.Connections);
        await Task.WhenAll(Enumerable.Range(0, 12).Select(i => driver.Write(i << 20, 1 << 20, 5)));
        byte[][] small = await Task.WhenAll(Enumerable.Range(0, 200).Select(i => driver.Read(i * 4096, 4096)));
        byte[][] large = await Task.WhenAll(Enumerable.Range(0, 12).Select(i => driver.Read(i << 20, 1 << 20)));
        Assert.All(small.Index(), read => PatternData.AssertEqual(PatternData.Create(5, read.Index * 4096, 4096), read.Item));
        Assert.All(large.Index(), read => PatternData.AssertEqual(PatternData.Create(5, read.Index << 20, 1 << 20), read.Item));
        Assert.Equal(0, await driver.Run(BlockOperation.Flush));
        Assert.Equal(connections, driver.Export.RequestsPerConnection.Count);
        Assert.All(driver.Export.RequestsPerConnection, requests => Assert.NotEqual(0, requests));
        Assert.Equal(225, driver.Export.RequestsPerConnection.Sum());
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public async Task Large_payloads_do_not_share_a_connection_with_small_ones(int movers)
    {
        await using var server = await Embedded.StartAsync(16 << 20);
        await using var driver = new ExportDriver(await server.OpenAsync(new NbdExportOptions { Connections = 4, Movers = movers }));
        await Task.WhenAll(Enumerable.Range(0, 12).Select(i => driver.Read(i << 20, 64 * 1024)));
        Assert.Equal([0, 0, 6, 6], driver.Export.RequestsPerConnection);
        await Task.WhenAll(Enumerable.Range(0, 48).Select(i => driver.Read(i << 20 & 0xffffff, (64 * 1024) - 512)));
        Assert.Equal([24, 24, 6, 6], driver.Export.RequestsPerConnection);
    }

    [Fact]
    public async Task Server_without_multi_conn_gets_one_connection()
    {
        // Rule 72.
        await using var server = await Embedded.StartAsync(1 << 20, multiConn: false);
        await using var driver = new ExportDriver(await server.OpenAsync(new NbdExportOptions { Connections = 4 }));
        Assert.Equal(1, driver.Export.Connections);
        await driver.Read(0, 4096);
    }

    [Fact]
    public async Task Refused_further_connection_means_fewer()
    {
        await using var server = await Embedded.StartAsync(1 << 20, maximumConnections: 2);
        await using var driver = new ExportDriver(await server.OpenAsync(new NbdExportOptions { Connections = 4 }));
        Assert.Equal(2, driver.Export.Connections);
        await driver.Read(0, 4096);
    }

    [Theory]
    [InlineData(1u << 21, MultiConn)]
    [InlineData(1u << 20, MultiConn | NbdTransmissionFlags.ReadOnly)]
    public async Task Further_connection_to_something_else_is_an_error(uint size, NbdTransmissionFlags flags)
    {
        await using var server = new ScriptedNbdServer(async script =>
        {
            await script.Handshake(script.Index == 0
                ? new ScriptedExport { Flags = MultiConn }
                : new ScriptedExport { Size = size, Flags = flags });
            await script.DiscardUntilClose();
        });
        NbdProtocolException error = await Assert.ThrowsAsync<NbdProtocolException>(
            () => NbdExport.OpenAsync(new UnixTarget(server.SocketPath!), new NbdExportOptions(), NullLogger.Instance));
        Assert.Contains("CAN_MULTI_CONN", error.Rule, StringComparison.Ordinal);
        await server.Finished();
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Closing_says_DISC_on_every_connection_also_when_the_export_was_never_used(bool start)
    {
        // Rules 82, 84.
        await using var server = new ScriptedNbdServer(async script =>
        {
            await script.Handshake(new ScriptedExport { Flags = MultiConn });
            await script.ExpectDisconnect();
        });
        NbdExport export = await NbdExport.OpenAsync(
            new UnixTarget(server.SocketPath!), new NbdExportOptions { Connections = 5, Movers = 2 }, NullLogger.Instance);
        if (start)
        {
            await using var driver = new ExportDriver(export);
        }

        await export.DisposeAsync();
        await server.Finished();
        Assert.Equal(5, server.Connections);
        Assert.False(export.Failure.IsCompleted);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(2)]
    public async Task Death_of_one_connection_fails_everything_once(int movers)
    {
        // The last connection to get a request answers it with nonsense; nobody else answers at all.
        int requests = 0;
        await using var server = new ScriptedNbdServer(async script =>
        {
            await script.Handshake(new ScriptedExport { Size = 64 << 20, Flags = MultiConn });
            await script.ReadRequest();
            if (Interlocked.Increment(ref requests) == 4)
            {
                await script.SendAsync(new byte[64]);
            }

            await script.DiscardUntilClose();
        });
        await using var driver = new ExportDriver(await NbdExport.OpenAsync(
            new UnixTarget(server.SocketPath!), NoReconnect with { Movers = movers }, NullLogger.Instance));
        int[] errors = await Task.WhenAll(Enumerable.Range(0, 200).Select(i =>
            driver.Run(BlockOperation.Read, i * 4096, i % 4 == 0 ? 100_000 / 512 * 512 : 512)));
        Assert.All(errors, error => Assert.Equal(BlockErrno.EIO, error));
        NbdException reason = await Deadline.Within(driver.Export.Failure, "the export to fail");
        Assert.IsType<NbdProtocolException>(reason);
        Assert.Equal(BlockErrno.EIO, await driver.Run(BlockOperation.Read, 0, 512));
        Assert.Equal(BlockErrno.EIO, await driver.Run(BlockOperation.Read, 0, 1 << 20));
    }

    [Fact]
    public async Task ESHUTDOWN_ends_the_export_after_what_is_in_flight()
    {
        // Rule 83.
        await using var server = new ScriptedNbdServer(async script =>
        {
            await script.Handshake(new ScriptedExport { Flags = NbdTransmissionFlags.HasFlags });
            ScriptedRequest first = await script.ReadRequest();
            ScriptedRequest second = await script.ReadRequest();
            await script.SendErrorChunk(second.Cookie, (uint)NbdError.Shutdown);
            await script.SendDataChunk(first.Cookie, 0, new byte[512], done: true);
            await script.ExpectDisconnect();
        });
        await using var driver = new ExportDriver(await NbdExport.OpenAsync(
            new UnixTarget(server.SocketPath!), NoReconnect, NullLogger.Instance));
        Task<int> first = driver.Run(BlockOperation.Read, 0, 512);
        Assert.Equal(BlockErrno.ESHUTDOWN, await driver.Run(BlockOperation.Read, 512, 512));
        Assert.Equal(0, await first);
        Assert.Equal(BlockErrno.ESHUTDOWN, await driver.Run(BlockOperation.Read, 0, 512));
        await Deadline.Within(driver.Export.Failure, "the export to fail");
        await server.Finished();
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public async Task ESHUTDOWN_on_one_connection_ends_all_of_them(int movers)
    {
        // Rule 83: the server waits for every one of its connections to leave.
        int left = 0;
        await using var server = new ScriptedNbdServer(async script =>
        {
            await script.Handshake(new ScriptedExport { Flags = MultiConn });
            ScriptedRequest request = await script.ReadRequest();
            while (request.Command == NbdCommand.Read)
            {
                await script.SendErrorChunk(request.Cookie, (uint)NbdError.Shutdown);
                request = await script.ReadRequest();
            }

            Assert.Equal(NbdCommand.Disc, request.Command);
            Interlocked.Increment(ref left);
        });
        await using var driver = new ExportDriver(await NbdExport.OpenAsync(
            new UnixTarget(server.SocketPath!), NoReconnect with { Movers = movers }, NullLogger.Instance));
        Assert.Equal(4, driver.Export.Connections);
        Assert.Equal(BlockErrno.ESHUTDOWN, await driver.Run(BlockOperation.Read, 0, 512));
        await Deadline.Until(() => Volatile.Read(ref left) == 4, "all connections to say goodbye");
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public async Task Closing_with_requests_in_flight_ends_them(int movers)
    {
        await using var server = new ScriptedNbdServer(async script =>
        {
            await script.Handshake(new ScriptedExport { Flags = MultiConn });
            await script.DiscardUntilClose();
        });
        NbdExport export = await NbdExport.OpenAsync(
            new UnixTarget(server.SocketPath!), new NbdExportOptions { Movers = movers }, NullLogger.Instance);
        await using var driver = new ExportDriver(export);
        Task<int>[] requests = [.. Enumerable.Range(0, 50).Select(i => driver.Run(BlockOperation.Read, i * 512, i % 2 == 0 ? 512 : 65536))];
        await export.DisposeAsync();
        Assert.All(await Task.WhenAll(requests), error => Assert.Equal(BlockErrno.EIO, error));
        Assert.Equal(BlockErrno.EIO, await driver.Run(BlockOperation.Read, 0, 512));
    }

    public static TheoryData<NbdTransmissionFlags> Flags { get; } =
    [
        NbdTransmissionFlags.None,
        NbdTransmissionFlags.ReadOnly,
        NbdTransmissionFlags.SendFlush,
        NbdTransmissionFlags.SendFua,
        NbdTransmissionFlags.SendTrim,
        NbdTransmissionFlags.SendWriteZeroes,
        NbdTransmissionFlags.SendWriteZeroes | NbdTransmissionFlags.SendFastZero,
        NbdTransmissionFlags.SendFastZero,
        NbdTransmissionFlags.SendCache,
        (NbdTransmissionFlags)0xe000,
    ];

    [Theory]
    [MemberData(nameof(Flags))]
    public async Task Command_or_flag_that_was_not_advertised_is_never_sent(NbdTransmissionFlags flags)
    {
        // Rules 56, 57, 68, 69, 76: unknown flags are ignored.
        List<ScriptedRequest> seen = [];
        byte[] disk = new byte[1 << 20];
        await using var server = new ScriptedNbdServer(async script =>
        {
            await script.Handshake(new ScriptedExport { Flags = flags | NbdTransmissionFlags.HasFlags });
            await script.ServeAsync(disk, request =>
            {
                seen.Add(request);
                return Task.FromResult(false);
            });
        });
        NbdExport export = await NbdExport.OpenAsync(
            new UnixTarget(server.SocketPath!), new NbdExportOptions(), NullLogger.Instance);
        await using (var driver = new ExportDriver(export, checkContract: false))
        {
            bool readOnly = flags.HasFlag(NbdTransmissionFlags.ReadOnly);
            await driver.Read(3, 100);
            Assert.Equal(0, await driver.Run(BlockOperation.Flush));
            Assert.Equal(0, await driver.Run(BlockOperation.Cache, 5, 5000));
            int trim = await driver.Run(BlockOperation.Trim, 0, 5000, BlockRequestFlags.Fua);
            if (readOnly)
            {
                Assert.Equal(BlockErrno.EROFS, trim);
                Assert.Equal(BlockErrno.EROFS, await driver.Run(BlockOperation.Write, 7, 5000));
            }
            else
            {
                Assert.Equal(flags.HasFlag(NbdTransmissionFlags.SendTrim) ? 0 : BlockErrno.EOPNOTSUPP, trim);
                Assert.Equal(0, await driver.Run(BlockOperation.Write, 7, 5000, BlockRequestFlags.Fua));
                BlockRequestFlags all = BlockRequestFlags.Fua | BlockRequestFlags.NoHole | BlockRequestFlags.FastZero;
                Assert.Equal(0, await driver.Run(BlockOperation.WriteZeroes, 7, 5000, all));
            }
        }

        await server.Finished();
        Assert.All(seen, request => Assert.True(IsAllowed(request, flags), request.Header.ToString()));
        Assert.NotEmpty(seen);
    }

    private static bool IsAllowed(ScriptedRequest request, NbdTransmissionFlags flags)
    {
        NbdCommandFlags allowed = request.Command switch
        {
            NbdCommand.Write or NbdCommand.Trim => NbdCommandFlags.Fua,
            NbdCommand.WriteZeroes => NbdCommandFlags.Fua | NbdCommandFlags.NoHole | NbdCommandFlags.FastZero,
            _ => 0,
        };
        allowed &= ~((flags.HasFlag(NbdTransmissionFlags.SendFua) ? 0 : NbdCommandFlags.Fua)
            | (flags.HasFlag(NbdTransmissionFlags.SendFastZero) ? 0 : NbdCommandFlags.FastZero));
        bool command = request.Command switch
        {
            NbdCommand.Read => true,
            NbdCommand.Write => !flags.HasFlag(NbdTransmissionFlags.ReadOnly),
            NbdCommand.Flush => flags.HasFlag(NbdTransmissionFlags.SendFlush) && request.Offset == 0 && request.Length == 0,
            NbdCommand.Trim => flags.HasFlag(NbdTransmissionFlags.SendTrim),
            NbdCommand.WriteZeroes => flags.HasFlag(NbdTransmissionFlags.SendWriteZeroes),
            NbdCommand.Cache => flags.HasFlag(NbdTransmissionFlags.SendCache),
            _ => false,
        };
        bool aligned = request.Offset % 512 == 0 && request.Length % 512 == 0;
        return command && aligned && (request.Flags & ~allowed) == 0;
    }

    private sealed class Embedded : IAsyncDisposable
    {
        private readonly TempDirectory _directory = new();
        private readonly MemoryExport _backend;
        private readonly NbdServer _server;

        private Embedded(long size, bool multiConn, int maximumConnections)
        {
            _backend = new MemoryExport(size);
            _server = new NbdServer(new NbdServerOptions
            {
                Exports = [new NbdServerExport { Backend = _backend, MultiConn = multiConn }],
                MaximumConnections = maximumConnections,
            });
        }

        private string Socket => _directory["nbd.sock"];

        public static async Task<Embedded> StartAsync(long size, bool multiConn = true, int maximumConnections = 64)
        {
            var server = new Embedded(size, multiConn, maximumConnections);
            await server._server.StartAsync(new UnixDomainSocketEndPoint(server.Socket));
            return server;
        }

        public Task<NbdExport> OpenAsync(NbdExportOptions options) =>
            NbdExport.OpenAsync(new UnixTarget(Socket), options, NullLogger.Instance);

        public async ValueTask DisposeAsync()
        {
            await _server.DisposeAsync();
            _backend.Dispose();
            _directory.Dispose();
        }
    }
}
