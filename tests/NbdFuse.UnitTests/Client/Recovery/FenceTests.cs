using Microsoft.Extensions.Logging;
using NbdFuse.Block;
using NbdFuse.Client;
using NbdFuse.Client.Transmission;
using NbdFuse.Native;
using NbdFuse.Protocol;
using NbdFuse.TestKit;
using NbdFuse.UnitTests.Client.Handshake;
using Xunit;

namespace NbdFuse.UnitTests.Client.Recovery;

/// <summary>A write that is stuck in a connection that was given up: when it is executed at last, nothing newer may be there.</summary>
public sealed class FenceTests
{
    private const int Size = 1 << 20;

    [Fact]
    public async Task Stuck_write_is_waited_for_and_never_overwrites_newer_data()
    {
        await using var server = new VolatileServer(Size);
        using var ghost = new Ghost(server);
        server.Start();
        await using RecoveryHarness harness = await OpenAsync(server, fenceSeconds: 600);
        Task<int> stuck = ghost.Write(harness, 1);
        await ghost.Arrived;
        await BreakAsync(server, harness);

        // The new connections are there; what was stuck is not sent on them.
        await Deadline.Until(() => server.Connections >= 4, "the client to connect again");
        await harness.Driver.OnLoop(() => { });
        Assert.Empty(server.Seen(NbdCommand.Write));
        Assert.Equal(NbdExportState.Recovering, harness.Export.State);
        Assert.False(stuck.IsCompleted);

        ghost.Release();
        Assert.Equal(0, await stuck);
        Assert.Equal(0, await ghost.Write(harness, 2));
        Assert.Equal([1, 1, 2], server.Seen(NbdCommand.Write).Select(request => (int)request.Payload[0]));
        Assert.Equal(2, server.Memory()[0]);
    }

    [Fact]
    public async Task Stuck_write_of_an_abandoned_caller_holds_up_newer_ones_and_is_not_repeated()
    {
        await using var server = new VolatileServer(Size);
        using var ghost = new Ghost(server);
        server.Start();
        await using RecoveryHarness harness = await OpenAsync(server, fenceSeconds: 600);
        (Task<int> stuck, Action abandon) = harness.Driver.Begin(BlockOperation.Write, 0, 4096, 0, Ghost.Payload(1));
        await ghost.Arrived;
        Task<int> newer = ghost.Write(harness, 2);
        await BreakAsync(server, harness);
        abandon();
        await Deadline.Until(() => server.Connections >= 4, "the client to connect again");
        await harness.Driver.OnLoop(() => { });
        Assert.False(stuck.IsCompleted);
        Assert.False(newer.IsCompleted);
        ghost.Release();
        Assert.Equal(BlockErrno.EINTR, await stuck);
        Assert.Equal(0, await newer);
        Assert.Equal([1, 2], server.Seen(NbdCommand.Write).Select(request => (int)request.Payload[0]));
        Assert.Equal(2, server.Memory()[0]);
    }

    [Fact]
    public async Task Server_that_never_lets_go_is_left_after_the_time_limit()
    {
        await using var server = new VolatileServer(Size);
        using var ghost = new Ghost(server);
        server.Start();
        await using RecoveryHarness harness = await OpenAsync(server, fenceSeconds: 0.2);
        Task<int> stuck = ghost.Write(harness, 1);
        await ghost.Arrived;
        await BreakAsync(server, harness);
        Assert.Equal(0, await stuck);
        Assert.Equal(NbdExportState.Ready, harness.Export.State);
        Assert.Single(server.Seen(NbdCommand.Write));
    }

    [Fact]
    public async Task Reads_under_way_need_no_fence()
    {
        await using var server = new VolatileServer(Size);
        var arrived = new TaskCompletionSource();
        server.Before = async (script, request) =>
        {
            if (request.Command == NbdCommand.Read && request.Length == 4096 && script.Index == 0 && arrived.TrySetResult())
            {
                await script.StaySilent();
                throw new OperationCanceledException();
            }

            return 0;
        };
        server.Start();
        await using RecoveryHarness harness = await OpenAsync(server, fenceSeconds: 600);
        Task<int> read = harness.Driver.Run(BlockOperation.Read, 0, 4096);
        await Deadline.Within(arrived.Task, "the read to arrive");
        await BreakAsync(server, harness);
        Assert.Equal(0, await read);
    }

    [Fact]
    public async Task Closing_does_not_wait_for_the_fence()
    {
        await using var server = new VolatileServer(Size);
        using var ghost = new Ghost(server);
        server.Start();
        await using RecoveryHarness harness = await OpenAsync(server, fenceSeconds: 600);
        Task<int> stuck = ghost.Write(harness, 1);
        await ghost.Arrived;
        await BreakAsync(server, harness);
        await Deadline.Within(harness.Export.DisposeAsync().AsTask(), "the export to close");
        Assert.Equal(BlockErrno.EIO, await stuck);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task Connection_that_was_cut_off_is_given_all_the_time_though_its_socket_reads_as_closed(int connections)
    {
        await using var server = new VolatileServer(Size);
        using var ghost = new Ghost(server, closes: true);
        server.Start();
        var logger = new CapturingLogger();
        await using RecoveryHarness harness = await OpenAsync(server, fenceSeconds: 0.3, connections, logger);
        Task<int> stuck = ghost.Write(harness, 1);
        await ghost.Arrived;
        await harness.Driver.OnLoop(() =>
        {
            // What recv(2) tells after TCP_USER_TIMEOUT, once; then it tells the end of the stream.
            NbdConnection connection = harness.Export.Set!.All.Single(connection => connection.InFlight > 0);
            connection.FailBySocket(new NbdDisconnectedException("cut off"), -Errno.ETIMEDOUT);
        });
        ghost.Close();
        Assert.Equal(0, await stuck);
        await Deadline.Until(() => logger.Entries.Any(entry => entry.Text.Contains("did not close within 0.3 s")), "the warning");
    }

    [Fact]
    public async Task What_a_mover_gives_back_waits_for_the_fence_although_nobody_has_told_of_the_loss_yet()
    {
        await using var server = new VolatileServer(Size);
        using var ghost = new Ghost(server);
        server.Start();
        await using RecoveryHarness harness = await RecoveryHarness.OpenAsync(server.SocketPath, new NbdExportOptions
        {
            // Two of them are the mover's: the other one would take what the first gives back.
            Connections = 4,
            Movers = 1,
            LargeBytes = 4096,
            FenceTimeout = TimeSpan.FromSeconds(600),
        });
        Task<int> stuck = ghost.Write(harness, 1);
        await ghost.Arrived;
        await harness.Driver.AtTurnEnd(() =>
        {
            // In the middle of a turn: there are requests from the mover, and no word of why before the next one.
            using var given = new ManualResetEventSlim();
            Mover mover = harness.Export.Set!.Movers[0];
            Assert.True(mover.Post(() =>
            {
                mover.Connections.Single(connection => connection.InFlight > 0).Fail(new NbdDisconnectedException("given up"));
                given.Set();
            }));
            Assert.True(given.Wait(Deadline.Default));
        });
        Assert.Equal(0, await harness.Driver.Run(BlockOperation.Read, 65536, 512));
        Assert.Empty(server.Seen(NbdCommand.Write));
        ghost.Release();
        Assert.Equal(0, await stuck);
        Assert.Equal(2, server.Seen(NbdCommand.Write).Count);
    }

    private static Task<RecoveryHarness> OpenAsync(VolatileServer server, double fenceSeconds, int connections = 2, ILogger? logger = null) =>
        RecoveryHarness.OpenAsync(
            server.SocketPath,
            new NbdExportOptions
            {
                Connections = connections,
                Movers = 0,
                FenceTimeout = TimeSpan.FromSeconds(fenceSeconds),
            },
            logger);

    /// <summary>The server talks nonsense on the connection for large payloads, so that all of them are given up.</summary>
    private static async Task BreakAsync(VolatileServer server, RecoveryHarness harness)
    {
        Func<NbdScript, ScriptedRequest, Task<uint>>? before = server.Before;
        int broken = 0;
        server.Before = async (script, request) =>
        {
            if (request.Length == 131072 && Interlocked.Exchange(ref broken, 1) == 0)
            {
                await script.SendAsync(new byte[64]);
            }

            return before is null ? 0 : await before(script, request);
        };
        _ = harness.Driver.Run(BlockOperation.Read, 524288, 131072);
        await Deadline.Until(() => harness.Changes.Length > 0, "the export to notice");
    }

    /// <summary>The first write to offset 0 is held by the server, and executed whenever the test says so.</summary>
    private sealed class Ghost : IDisposable
    {
        private readonly TaskCompletionSource _arrived = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly TaskCompletionSource _release = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly TaskCompletionSource _close = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Ghost(VolatileServer server, bool closes = false) => server.Before = async (script, request) =>
        {
            if (request.Command == NbdCommand.Write && request.Offset == 0 && _arrived.TrySetResult())
            {
                if (closes)
                {
                    await _close.Task.WaitAsync(script.Stop);
                    script.Close();
                }

                await _release.Task.WaitAsync(script.Stop);
            }

            return 0;
        };

        public Task Arrived => Deadline.Within(_arrived.Task, "the write to arrive");

        public static byte[] Payload(byte value)
        {
            byte[] payload = GC.AllocateArray<byte>(4096, pinned: true);
            Array.Fill(payload, value);
            return payload;
        }

        public Task<int> Write(RecoveryHarness harness, byte value) =>
            harness.Driver.Run(BlockOperation.Write, 0, 4096, 0, Payload(value));

        public void Close() => _close.TrySetResult();

        public void Release() => _release.TrySetResult();

        public void Dispose() => Release();
    }
}
