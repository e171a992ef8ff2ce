using NbdFuse.Block;
using NbdFuse.Client;
using NbdFuse.Protocol;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.UnitTests.Client.Recovery;

/// <summary>One of several connections is lost, and the server is not.</summary>
public sealed class SurvivorTests
{
    private const int Size = 8 << 20;

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public async Task Requests_of_a_lost_connection_go_to_the_others_and_it_is_replaced(int movers)
    {
        await using var server = new VolatileServer(Size);
        int count = 0;
        server.Before = (script, _) => Interlocked.Increment(ref count) % 40 == 0
            ? Task.FromException<uint>(new ScriptException("this connection ends"))
            : Task.FromResult(0u);
        server.Start();
        await using RecoveryHarness harness = await RecoveryHarness.OpenAsync(
            server.SocketPath, new NbdExportOptions { Movers = movers, WriteLogBytes = 64 << 20 });
        await Task.WhenAll(Enumerable.Range(0, 100).Select(i => harness.Driver.Write(i * 65536, i % 2 == 0 ? 4096 : 65536, 6)));
        server.Before = null;
        await Deadline.Until(() => harness.Export.Connections == 4, "the lost connections to be replaced");
        Assert.Empty(harness.Changes);
        Assert.True(server.Connections > 4);
        for (int i = 0; i < 100; i++)
        {
            int length = i % 2 == 0 ? 4096 : 65536;
            PatternData.AssertEqual(PatternData.Create(6, i * 65536, length), await harness.Driver.Read(i * 65536, length), i * 65536);
        }

        Assert.Equal(0, await harness.Driver.Run(BlockOperation.Flush));
        Assert.Equal(0, harness.Export.WriteLogBytes);
    }

    [Fact]
    public async Task Replacement_gets_nothing_before_an_old_connection_has_answered()
    {
        await using var server = new VolatileServer(Size);
        var probed = new TaskCompletionSource();
        var goOn = new TaskCompletionSource();
        int lost = 0;
        int early = 0;
        server.Before = async (script, request) =>
        {
            if (script.Index == 0 && Interlocked.Exchange(ref lost, 1) == 0)
            {
                throw new ScriptException("this connection ends");
            }

            if (request.Command == NbdCommand.Read && request.Length == 512)
            {
                Assert.InRange(script.Index, 1, 3);
                probed.TrySetResult();
                await goOn.Task;
            }
            else if (script.Index > 3 && !goOn.Task.IsCompleted)
            {
                Interlocked.Increment(ref early);
            }

            return 0;
        };
        server.Start();
        await using RecoveryHarness harness = await RecoveryHarness.OpenAsync(server.SocketPath, new NbdExportOptions { Movers = 0 });
        await harness.Driver.Write(0, 4096, 1);
        await Deadline.Within(probed.Task, "a survivor to be asked");
        Assert.Equal(3, harness.Export.Connections);
        goOn.SetResult();
        await Deadline.Until(() => harness.Export.Connections == 4, "the connection to join");
        for (int i = 0; i < 50; i++)
        {
            await harness.Driver.Write(i * 4096, 4096, 1);
        }

        Assert.Equal(0, early);
        Assert.Empty(harness.Changes);
    }

    [Fact]
    public async Task Server_that_restarts_before_the_proof_is_a_new_generation()
    {
        await using var server = new VolatileServer(Size);
        var probed = new TaskCompletionSource();
        int lost = 0;
        server.Before = async (script, request) =>
        {
            if (script.Index == 0 && Interlocked.Exchange(ref lost, 1) == 0)
            {
                throw new ScriptException("this connection ends");
            }

            if (request.Command == NbdCommand.Read && request.Length == 512)
            {
                probed.TrySetResult();
                await script.StaySilent();
            }

            return 0;
        };
        server.Start();
        await using RecoveryHarness harness = await RecoveryHarness.OpenAsync(server.SocketPath, new NbdExportOptions { Movers = 0 });
        await harness.Driver.Write(0, 4096, 1);
        await Deadline.Within(probed.Task, "a survivor to be asked");
        server.Before = null;
        await server.CrashAsync();
        server.Start();
        await harness.Reconnected();
        Assert.Equal(2, harness.Export.Generation);
        PatternData.AssertEqual(PatternData.Create(1, 0, 4096), await harness.Driver.Read(0, 4096));
        await Deadline.Until(() => harness.Export.Connections == 4, "all connections");
    }
}
