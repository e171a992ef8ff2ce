using NbdFuse.Block;
using NbdFuse.Client;
using NbdFuse.Protocol;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.UnitTests.Client.Recovery;

/// <summary>An export that goes on with the write log of a process that has died.</summary>
public sealed class TakeOverTests
{
    private const int Size = 1 << 20;

    [Theory]
    [InlineData(0.0)]
    [InlineData(0.5)]
    [InlineData(1.0)]
    public async Task Unflushed_writes_of_a_dead_process_are_written_again_before_anything_else(double survival)
    {
        await using var server = new VolatileServer(Size) { Survival = survival };
        server.Start();
        using var dead = new DeadProcess();
        await dead.LiveAsync(server, async first =>
        {
            await first.Driver.Write(0, 8192, 1);
            Assert.Equal(0, await first.Driver.Run(BlockOperation.Flush));
            await first.Driver.Write(4096, 4096, 2);
            await first.Driver.Write(65536, 4096, 3);
            Assert.Equal(0, await first.Driver.Run(BlockOperation.WriteZeroes, 69632, 4096, BlockRequestFlags.NoHole));
        });

        await server.CrashAsync();
        server.Start();
        await using RecoveryHarness second = await RecoveryHarness.OpenAsync(server.SocketPath, dead.Options());
        Task<byte[]> read = second.Driver.Read(4096, 4096);
        await second.Driver.OnLoop(() => { });
        Assert.Equal(NbdExportState.Connecting, second.Export.State);
        Assert.Empty(server.Requests);
        Assert.Equal(8192, second.Export.WriteLogBytes);

        second.Export.TakeOver();
        PatternData.AssertEqual(PatternData.Create(2, 4096, 4096), await read);
        Assert.Equal(NbdExportState.Ready, second.Export.State);
        Assert.Equal(3, second.Export.ReplayedWrites);
        Assert.Equal(0, second.Export.Reconnects);
        NbdCommand[] seen = [.. server.Requests.Select(request => request.Command)];
        int firstChange = Array.FindIndex(seen, command => command != NbdCommand.Read);
        Assert.Equal([NbdCommand.Write, NbdCommand.Write, NbdCommand.WriteZeroes], seen[firstChange..^1].Order());
        Assert.Equal(NbdCommand.Read, seen[^1]);
        Assert.Equal(0, await second.Driver.Run(BlockOperation.Flush));
        Assert.Equal(0, second.Export.WriteLogBytes);
        byte[] durable = server.Durable();
        PatternData.AssertEqual(PatternData.Create(1, 0, 4096), durable.AsSpan(0, 4096));
        PatternData.AssertEqual(PatternData.Create(2, 4096, 4096), durable.AsSpan(4096, 4096));
        PatternData.AssertEqual(PatternData.Create(3, 65536, 4096), durable.AsSpan(65536, 4096));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Another_disk_is_not_written_to(bool hasUnflushed)
    {
        await using var server = new VolatileServer(Size);
        server.Start();
        using var dead = new DeadProcess();
        await dead.LiveAsync(server, async first =>
        {
            for (int i = 0; i < 12; i++)
            {
                await first.Driver.Write(i * 65536, 8192, 2);
            }

            Assert.Equal(0, await first.Driver.Run(BlockOperation.Flush));
            if (hasUnflushed)
            {
                await first.Driver.Write(900 * 512, 4096, 3);
            }
        });

        await server.CrashAsync();
        server.Replace(new byte[Size]);
        server.Start();
        await using RecoveryHarness second = await RecoveryHarness.OpenAsync(server.SocketPath, dead.Options());
        second.Export.TakeOver();
        string reason = await second.Fails();
        Assert.Contains("another disk", reason, StringComparison.Ordinal);
        Assert.Equal(hasUnflushed, reason.Contains("1 writes (4096 bytes)", StringComparison.Ordinal));
        Assert.Equal(BlockErrno.EIO, await second.Driver.Run(BlockOperation.Flush));
        Assert.All(server.Requests, request => Assert.Equal(NbdCommand.Read, request.Command));
        Assert.Equal(new byte[Size], server.Memory());
    }

    [Fact]
    public async Task Server_that_is_lost_before_the_take_over_gets_nothing_until_then()
    {
        await using var server = new VolatileServer(Size);
        server.Start();
        using var dead = new DeadProcess();
        await dead.LiveAsync(server, async first =>
        {
            await first.Driver.Write(4096, 4096, 2);
        });

        await server.CrashAsync();
        server.Start();
        await using RecoveryHarness second = await RecoveryHarness.OpenAsync(server.SocketPath, dead.Options());
        int before = server.Connections;
        await server.CrashAsync();
        await second.Becomes(NbdExportState.Recovering);
        server.Start();
        await Deadline.Until(() => server.Connections > before, "a new connection");
        await second.Driver.OnLoop(() => { });
        Assert.Empty(server.Requests);
        second.Export.TakeOver();
        await second.Becomes(NbdExportState.Ready);
        Assert.Equal(0, await second.Driver.Run(BlockOperation.Flush));
        PatternData.AssertEqual(PatternData.Create(2, 4096, 4096), server.Durable().AsSpan(4096, 4096));
    }

    [Fact]
    public async Task Second_death_in_the_middle_of_the_replay_loses_nothing()
    {
        await using var server = new VolatileServer(Size);
        server.Start();
        using var dead = new DeadProcess();
        await dead.LiveAsync(server, async first =>
        {
            for (int i = 0; i < 60; i++)
            {
                await first.Driver.Write(i * 8192, 4096, (ulong)i);
            }
        });

        await server.CrashAsync();
        var reached = new TaskCompletionSource();
        int writes = 0;
        server.Before = async (script, request) =>
        {
            if (request.Command == NbdCommand.Write && Interlocked.Increment(ref writes) == 20)
            {
                reached.SetResult();
                await Task.Delay(Timeout.Infinite, script.Stop);
            }

            return 0;
        };
        server.Start();
        await using (RecoveryHarness second = await RecoveryHarness.OpenAsync(server.SocketPath, dead.Options()))
        {
            second.Export.TakeOver();
            await Deadline.Within(reached.Task, "the replay");
            await dead.KillAsync(second);
            await server.CrashAsync();
        }

        server.Before = null;
        server.Start();
        await using RecoveryHarness third = await RecoveryHarness.OpenAsync(server.SocketPath, dead.Options());
        third.Export.TakeOver();
        Assert.Equal(0, await third.Driver.Run(BlockOperation.Flush));
        byte[] durable = server.Durable();
        for (int i = 0; i < 60; i++)
        {
            PatternData.AssertEqual(PatternData.Create((ulong)i, i * 8192, 4096), durable.AsSpan(i * 8192, 4096), i * 8192);
        }
    }

    [Fact]
    public async Task Damaged_log_is_refused_and_nothing_is_written()
    {
        await using var server = new VolatileServer(Size);
        server.Start();
        using var dead = new DeadProcess();
        await dead.LiveAsync(server, async first =>
        {
            await first.Driver.Write(4096, 4096, 2);
        });

        dead.Damage(4096 + 8);
        await server.CrashAsync();
        server.Start();
        NbdWriteLogException error = await Assert.ThrowsAsync<NbdWriteLogException>(
            () => RecoveryHarness.OpenAsync(server.SocketPath, dead.Options()));
        Assert.Contains("damaged", error.Message, StringComparison.Ordinal);
        Assert.Empty(server.Requests);
    }

    [Fact]
    public async Task Log_that_reaches_beyond_the_end_is_refused()
    {
        await using var server = new VolatileServer(Size);
        server.Start();
        using var dead = new DeadProcess();
        await dead.LiveAsync(server, async first =>
        {
            await first.Driver.Write(Size - 4096, 4096, 2);
        });

        await server.CrashAsync();
        server.Replace(new byte[Size / 2]);
        server.Start();
        await using RecoveryHarness second = await RecoveryHarness.OpenAsync(server.SocketPath, dead.Options());
        second.Export.TakeOver();
        Assert.Contains("reaches to", await second.Fails(), StringComparison.Ordinal);
        Assert.Empty(server.Requests);
    }
}
