using NbdFuse.Block;
using NbdFuse.Client;
using NbdFuse.Client.Transmission;
using NbdFuse.Protocol;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.UnitTests.Client.Recovery;

/// <summary>The write log of an export: its bound, its FLUSHes, and what a server that fails does to it.</summary>
public sealed class LogBoundTests
{
    private const int Size = 4 << 20;

    private static NbdExportOptions TwoConnections => new() { Connections = 2, Movers = 0 };

    private static NbdExportOptions Small => new() { Connections = 1, WriteLogBytes = WriteLog.SmallestBytes };

    [Fact]
    public async Task Export_flushes_by_itself_before_the_log_is_full()
    {
        await using var server = new VolatileServer(Size);
        server.Start();
        await using RecoveryHarness harness = await RecoveryHarness.OpenAsync(server.SocketPath, Small);
        Assert.Equal(WriteLog.SmallestBytes, harness.Export.WriteLogCapacity);
        for (int i = 0; i < 512; i++)
        {
            await harness.Driver.Write(i * 8192, 8192, 1);
            Assert.True(harness.Export.WriteLogBytes <= harness.Export.WriteLogCapacity);
        }

        Assert.InRange(server.Seen(NbdCommand.Flush).Count, Size / WriteLog.SmallestBytes, 40);
        await server.CrashAsync();
        server.Start();
        await harness.Reconnected();
        PatternData.AssertEqual(PatternData.Create(1, 0, Size), server.Memory());
    }

    [Fact]
    public async Task Full_log_holds_writes_back_until_the_flush_and_reads_go_on()
    {
        await using var server = new VolatileServer(Size);
        var flushing = new TaskCompletionSource();
        var goOn = new TaskCompletionSource();
        server.Before = async (script, request) =>
        {
            if (request.Command == NbdCommand.Flush && script.Index == 0)
            {
                flushing.TrySetResult();
                await goOn.Task.WaitAsync(script.Stop);
            }

            return 0;
        };
        server.Start();
        await using RecoveryHarness harness = await RecoveryHarness.OpenAsync(
            server.SocketPath, Small with { Connections = 2, Movers = 0, LargeBytes = 1024 });

        // The flush takes the connection for small ones, the rest the other.
        Task<int>[] writes = [.. Enumerable.Range(0, 200).Select(i => harness.Driver.Run(BlockOperation.Write, i * 4096, 4096))];
        await Deadline.Within(flushing.Task, "the flush");
        await Deadline.Until(() => writes.Count(task => task.IsCompleted) == 64, "the log to be full");
        Assert.Equal(0, await harness.Driver.Run(BlockOperation.Read, 0, 4096));
        Assert.Equal(64, server.Seen(NbdCommand.Write).Count);
        goOn.SetResult();
        Assert.All(await Task.WhenAll(writes), error => Assert.Equal(0, error));
    }

    [Fact]
    public async Task Failed_flush_is_told_and_the_next_one_comes_after_everything_was_written_again()
    {
        await using var server = new VolatileServer(Size);
        server.Start();
        await using RecoveryHarness harness = await RecoveryHarness.OpenAsync(server.SocketPath);
        int rewritten = 0;
        harness.Export.Rewritten += () => rewritten++;
        await harness.Driver.Write(0, 4096, 1);
        await harness.Driver.Write(8192, 4096, 1);
        server.FailFlushes = 1;
        Assert.Equal(BlockErrno.EIO, await harness.Driver.Run(BlockOperation.Flush));
        Assert.Equal(8192, harness.Export.WriteLogBytes);
        await harness.Driver.Write(65536, 4096, 1);
        Assert.Equal(0, await harness.Driver.Run(BlockOperation.Flush));
        Assert.Equal(0, harness.Export.WriteLogBytes);
        Assert.Equal(
            [
                (NbdCommand.Write, 0L), (NbdCommand.Write, 8192L), (NbdCommand.Flush, 0L), (NbdCommand.Write, 65536L),
                (NbdCommand.Write, 0L), (NbdCommand.Write, 8192L), (NbdCommand.Write, 65536L), (NbdCommand.Flush, 0L),
            ],
            server.Requests.Select(request => (request.Command, request.Offset)));
        PatternData.AssertEqual(PatternData.Create(1, 8192, 4096), server.Durable().AsSpan(8192, 4096), 8192);
        Assert.Empty(harness.Changes);
        Assert.Equal(1, rewritten);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Flushes_that_come_meanwhile_share_one_and_its_answer(bool fails)
    {
        await using var server = new VolatileServer(Size);
        using var held = new HeldFlush(server, fails);
        server.Start();
        await using RecoveryHarness harness = await RecoveryHarness.OpenAsync(server.SocketPath, TwoConnections);
        await harness.Driver.Write(0, 4096, 1);
        Task<int>[] early = [.. Enumerable.Range(0, 20).Select(_ => harness.Driver.Run(BlockOperation.Flush))];
        await held.Arrived;

        // The other connection: acknowledged after the FLUSH was sent, and so not covered by it.
        await harness.Driver.Write(131072, 65536, 1);
        Task<int>[] late = [.. Enumerable.Range(0, 20).Select(_ => harness.Driver.Run(BlockOperation.Flush))];
        await harness.Driver.OnLoop(() => { });
        Assert.All(early.Concat(late), task => Assert.False(task.IsCompleted));
        held.Release();
        Assert.All(await Task.WhenAll(early), error => Assert.Equal(fails ? BlockErrno.EIO : 0, error));
        Assert.All(await Task.WhenAll(late), error => Assert.Equal(0, error));
        Assert.Equal(2, server.Seen(NbdCommand.Flush).Count);
        Assert.Equal(fails ? 4 : 2, server.Seen(NbdCommand.Write).Count);
        Assert.Equal(NbdCommand.Flush, server.Requests[^1].Command);
        Assert.Equal(0, harness.Export.WriteLogBytes);
    }

    [Fact]
    public async Task Flush_that_was_lost_with_its_connection_may_have_failed()
    {
        await using var server = new VolatileServer(Size);
        int lost = 0;
        server.Before = (script, request) => request.Command == NbdCommand.Flush && Interlocked.Exchange(ref lost, 1) == 0
            ? Task.FromException<uint>(new ScriptException("this connection ends"))
            : Task.FromResult(0u);
        server.Start();
        await using RecoveryHarness harness = await RecoveryHarness.OpenAsync(server.SocketPath, TwoConnections);
        await harness.Driver.Write(0, 4096, 1);
        Assert.Equal(0, await harness.Driver.Run(BlockOperation.Flush));

        // Its failure would have been told to nobody, and would have made this one succeed.
        Assert.Equal(
            [NbdCommand.Write, NbdCommand.Write, NbdCommand.Flush],
            server.Requests.Where(request => request.Command != NbdCommand.Read).Select(request => request.Command));
        Assert.Empty(harness.Changes);
    }

    [Fact]
    public async Task Flush_that_was_withdrawn_has_not_failed()
    {
        await using var server = new VolatileServer(Size);
        server.Start();
        await using RecoveryHarness harness = await RecoveryHarness.OpenAsync(server.SocketPath);
        await harness.Driver.Write(0, 4096, 1);
        Task<int> withdrawn = Task.FromResult(0);
        await harness.Driver.OnLoop(() =>
        {
            // Both in one turn, at whose end it would have been sent.
            (withdrawn, Action abandon) = harness.Driver.Begin(BlockOperation.Flush);
            abandon();
        });
        Assert.Equal(BlockErrno.EINTR, await withdrawn);
        Assert.Equal(0, await harness.Driver.Run(BlockOperation.Flush));
        Assert.Equal([NbdCommand.Write, NbdCommand.Flush], server.Requests.Select(request => request.Command));
    }

    [Fact]
    public async Task Write_that_is_refused_when_it_is_repeated_fails_the_export_by_name()
    {
        await using var server = new VolatileServer(Size);
        server.Start();
        await using RecoveryHarness harness = await RecoveryHarness.OpenAsync(server.SocketPath);
        await harness.Driver.Write(0, 4096, 1);
        await harness.Driver.Write(123 * 512, 8192, 1);
        await server.CrashAsync();
        server.Before = (_, request) => Task.FromResult(
            request.Command == NbdCommand.Write && request.Offset == 123 * 512 ? (uint)NbdError.NoSpc : 0);
        Task<int> waiting = harness.Driver.Run(BlockOperation.Read, 0, 512);
        server.Start();
        string reason = await harness.Fails();
        Assert.Contains("8192 bytes at 62976", reason, StringComparison.Ordinal);
        Assert.Contains("ENOSPC", reason, StringComparison.Ordinal);
        Assert.Contains("2 writes (12288 bytes) that were not flushed are lost", reason, StringComparison.Ordinal);
        Assert.Equal(BlockErrno.EIO, await waiting);
    }

    [Fact]
    public async Task Trim_is_not_repeated_and_cuts_what_is()
    {
        await using var server = new VolatileServer(Size);
        server.Start();
        await using RecoveryHarness harness = await RecoveryHarness.OpenAsync(server.SocketPath);
        await harness.Driver.Write(0, 16384, 1);
        Assert.Equal(0, await harness.Driver.Run(BlockOperation.Trim, 4096, 8192));
        Assert.Equal(0, await harness.Driver.Run(BlockOperation.WriteZeroes, 65536, 4096, BlockRequestFlags.NoHole));
        await server.CrashAsync();
        server.Start();
        await harness.Reconnected();
        Assert.Equal(
            [(NbdCommand.Write, 0L, 4096), (NbdCommand.Write, 12288L, 4096), (NbdCommand.WriteZeroes, 65536L, 4096)],
            server.Requests.Select(request => (request.Command, request.Offset, request.Length)).OrderBy(r => r.Offset));
        Assert.Equal(NbdCommandFlags.NoHole, server.Seen(NbdCommand.WriteZeroes)[0].Flags);
    }

    [Fact]
    public async Task Forced_write_is_repeated_too_because_older_ones_are()
    {
        await using var server = new VolatileServer(Size);
        server.Start();
        await using RecoveryHarness harness = await RecoveryHarness.OpenAsync(server.SocketPath);
        await harness.Driver.Write(0, 8192, 1);
        byte[] forced = GC.AllocateArray<byte>(4096, pinned: true);
        Array.Fill(forced, (byte)9);
        Assert.Equal(0, await harness.Driver.Run(BlockOperation.Write, 0, 4096, BlockRequestFlags.Fua, forced));
        await server.CrashAsync();
        server.Start();
        await harness.Reconnected();
        PatternData.AssertEqual(forced, await harness.Driver.Read(0, 4096));
        PatternData.AssertEqual(PatternData.Create(1, 4096, 4096), await harness.Driver.Read(4096, 4096), 4096);
    }

    [Theory]
    [InlineData(NbdTransmissionFlags.HasFlags)]
    [InlineData(NbdTransmissionFlags.HasFlags | NbdTransmissionFlags.SendFlush | NbdTransmissionFlags.ReadOnly)]
    public async Task Without_flush_or_writes_there_is_no_log(NbdTransmissionFlags flags)
    {
        await using var server = new VolatileServer(Size) { Export = new ScriptedExport { Flags = flags } };
        server.Start();
        await using RecoveryHarness harness = await RecoveryHarness.OpenAsync(server.SocketPath);
        Assert.Equal(0, harness.Export.WriteLogCapacity);
        if ((flags & NbdTransmissionFlags.ReadOnly) == 0)
        {
            await harness.Driver.Write(0, 4096, 1);
        }

        await server.CrashAsync();
        server.Start();
        await harness.Reconnected();
        await harness.Driver.Read(0, 4096);
        Assert.Equal(0, await harness.Driver.Run(BlockOperation.Flush));
    }

    [Fact]
    public async Task Server_that_fails_every_flush_keeps_writers_waiting_and_loses_nothing()
    {
        await using var server = new VolatileServer(Size);
        server.Start();
        await using RecoveryHarness harness = await RecoveryHarness.OpenAsync(server.SocketPath, Small);
        server.FailFlushes = 2;
        Task[] writes = [.. Enumerable.Range(0, 100).Select(i => harness.Driver.Write(i * 8192, 8192, 1))];
        await Deadline.Until(() => server.FailFlushes == 0, "the flushes to fail");
        await Task.WhenAll(writes);
        Assert.Equal(0, await harness.Driver.Run(BlockOperation.Flush));
        await server.CrashAsync();
        server.Start();
        await harness.Reconnected();
        PatternData.AssertEqual(PatternData.Create(1, 0, 100 * 8192), server.Durable().AsSpan(0, 100 * 8192));
    }

    /// <summary>The first FLUSH is held by the server until the test lets it go.</summary>
    private sealed class HeldFlush : IDisposable
    {
        private readonly TaskCompletionSource _arrived = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly TaskCompletionSource _release = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public HeldFlush(VolatileServer server, bool fails) => server.Before = async (script, request) =>
        {
            if (request.Command != NbdCommand.Flush || !_arrived.TrySetResult())
            {
                return 0;
            }

            await _release.Task.WaitAsync(script.Stop);
            return fails ? (uint)NbdError.Io : 0;
        };

        public Task Arrived => Deadline.Within(_arrived.Task, "the flush to arrive");

        public void Release() => _release.TrySetResult();

        public void Dispose() => Release();
    }
}
