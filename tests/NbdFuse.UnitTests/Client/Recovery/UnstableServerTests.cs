using System.Net;
using NbdFuse.Block;
using NbdFuse.Client;
using NbdFuse.Native;
using NbdFuse.Protocol;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.UnitTests.Client.Recovery;

/// <summary>Servers that come back and are of no use, and times in which this program lacks something itself.</summary>
public sealed class UnstableServerTests
{
    private const int Size = 1 << 20;
    private const string Host = "server.example";

    [Fact]
    public async Task Server_that_ends_each_connection_at_the_first_request_runs_into_the_time_limit()
    {
        await using var server = new VolatileServer(Size);
        server.Before = static (_, _) => Task.FromException<uint>(new ScriptException("this connection ends"));
        server.Start();
        await using RecoveryHarness harness = await RecoveryHarness.OpenAsync(
            server.SocketPath, new NbdExportOptions { Connections = 1, ReconnectTimeout = TimeSpan.FromSeconds(1) });
        Assert.Equal(BlockErrno.EIO, await harness.Driver.Run(BlockOperation.Read, 0, 4096));
        Assert.Contains("did not come back within 1 s", await harness.Fails(), StringComparison.Ordinal);
        Assert.True(server.Connections > 2);
    }

    [Fact]
    public async Task Server_that_accepts_and_does_not_answer_runs_into_the_time_limit()
    {
        await using var server = new VolatileServer(Size);
        server.Start();
        await using RecoveryHarness harness = await RecoveryHarness.OpenAsync(
            server.SocketPath, new NbdExportOptions { Connections = 1, ReconnectTimeout = TimeSpan.FromSeconds(1) });
        await harness.Driver.Write(0, 4096, 1);
        Assert.Equal(0, await harness.Driver.Run(BlockOperation.Flush));
        await server.CrashAsync();
        server.Before = static async (script, _) =>
        {
            await script.StaySilent();
            throw new OperationCanceledException();
        };

        // The first look at requests that wait, of which there are none, is over by then.
        await Task.Delay(150, TestContext.Current.CancellationToken);
        server.Start();
        Assert.Contains("does not answer", await harness.Fails(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Connections_that_are_lost_again_and_again_leave_nothing_behind()
    {
        await using var server = new VolatileServer(Size);
        server.Before = static (script, _) => script.Index == 0
            ? Task.FromResult(0u)
            : Task.FromException<uint>(new ScriptException("one client only"));
        server.Start();
        await using RecoveryHarness harness = await RecoveryHarness.OpenAsync(
            server.SocketPath, new NbdExportOptions { Connections = 2, Movers = 0 });
        while (server.Connections < 7)
        {
            // Some of these take the other connection, which ends, and is replaced by one that will end.
            await Task.WhenAll(Enumerable.Range(0, 32).Select(_ => harness.Driver.Run(BlockOperation.Read, 0, 65536)));
        }

        await Deadline.Until(() => harness.Export.RequestsPerConnection.Count <= 2, "lost connections to be freed");
        Assert.Empty(harness.Changes);
    }

    [Fact]
    public async Task Other_addresses_of_the_name_may_have_another_copy_of_the_disk()
    {
        await using var server = new VolatileServer(Size) { EndPoint = new IPEndPoint(IPAddress.Loopback, 0) };
        server.Start();
        await using var replica = new VolatileServer(Size) { EndPoint = new IPEndPoint(IPAddress.Parse("127.0.0.2"), server.EndPoint!.Port) };
        replica.Start();
        await using RecoveryHarness harness = await OpenAsync(server, readOnly: false, [server.EndPoint.Address, replica.EndPoint!.Address]);
        await harness.Driver.Write(0, 4096, 1);
        await server.CrashAsync();
        await harness.Becomes(NbdExportState.Recovering);
        server.Start();
        await harness.Reconnected();
        Assert.Equal(0, replica.Connections);
        PatternData.AssertEqual(PatternData.Create(1, 0, 4096), server.Memory().AsSpan(0, 4096));
    }

    [Fact]
    public async Task Read_only_export_goes_on_at_another_address_of_the_name()
    {
        await using var server = new VolatileServer(Size) { EndPoint = new IPEndPoint(IPAddress.Loopback, 0) };
        server.Start();
        await using var replica = new VolatileServer(Size) { EndPoint = new IPEndPoint(IPAddress.Parse("127.0.0.2"), server.EndPoint!.Port) };
        replica.Start();
        await using RecoveryHarness harness = await OpenAsync(server, readOnly: true, [server.EndPoint.Address, replica.EndPoint!.Address]);
        await harness.Driver.Read(0, 4096);
        await server.CrashAsync();
        await harness.Reconnected();
        Assert.Equal(1, replica.Connections);
    }

    [Fact]
    public async Task Shortage_of_our_own_is_a_failed_attempt()
    {
        await using var server = new VolatileServer(Size) { EndPoint = new IPEndPoint(IPAddress.Loopback, 0) };
        server.Start();
        int asked = 0;
        var options = new NbdExportOptions
        {
            Connections = 1,
            ReadOnly = true,
            Transport = new NbdTransportOptions
            {
                Resolve = (_, _) => Interlocked.Increment(ref asked) == 1
                    ? Task.FromResult<IPAddress[]>([IPAddress.Loopback])
                    : throw new PosixException("create an eventfd", -Errno.EMFILE),
            },
        };
        await using RecoveryHarness harness = await RecoveryHarness.OpenAsync(new TcpTarget(Host, server.EndPoint!.Port), options);
        await server.CrashAsync();
        await Deadline.Until(() => asked >= 3, "two attempts");
        server.Start();
        await harness.Reconnected();
        Assert.Equal(0, await harness.Driver.Run(BlockOperation.Read, 0, 4096));
    }

    private static Task<RecoveryHarness> OpenAsync(VolatileServer server, bool readOnly, IPAddress[] addresses) =>
        RecoveryHarness.OpenAsync(new TcpTarget(Host, server.EndPoint!.Port), new NbdExportOptions
        {
            Connections = 1,
            ReadOnly = readOnly,
            Transport = new NbdTransportOptions { Resolve = (_, _) => Task.FromResult(addresses) },
        });
}
