using NbdFuse.Block;
using NbdFuse.Client;
using NbdFuse.Protocol;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.UnitTests.Client.Recovery;

/// <summary>What callers see of a server that goes away and comes back.</summary>
public sealed class RecoveryTests
{
    private const int Size = 1 << 20;

    [Theory]
    [InlineData(1, 0)]
    [InlineData(4, 0)]
    [InlineData(4, 1)]
    public async Task Requests_wait_for_a_server_that_crashed_and_end_well(int connections, int movers)
    {
        await using var server = new VolatileServer(Size);
        server.Start();
        await using RecoveryHarness harness = await RecoveryHarness.OpenAsync(
            server.SocketPath, new NbdExportOptions { Connections = connections, Movers = movers });
        await harness.Driver.Write(0, 4096, 1);
        await harness.Driver.Write(65536, 131072, 2);
        await server.CrashAsync();
        Task<int>[] waiting =
        [
            harness.Driver.Run(BlockOperation.Read, 0, 4096),
            harness.Driver.Run(BlockOperation.Write, 8192, 4096),
            harness.Driver.Run(BlockOperation.Write, 524288, 131072),
            harness.Driver.Run(BlockOperation.Flush),
            harness.Driver.Run(BlockOperation.WriteZeroes, 16384, 4096),
        ];
        await harness.Becomes(NbdExportState.Recovering);
        await harness.Driver.OnLoop(() => { });
        Assert.All(waiting, task => Assert.False(task.IsCompleted));
        server.Start();
        Assert.All(await Task.WhenAll(waiting), error => Assert.Equal(0, error));
        PatternData.AssertEqual(PatternData.Create(1, 0, 4096), await harness.Driver.Read(0, 4096));
        PatternData.AssertEqual(PatternData.Create(2, 65536, 131072), await harness.Driver.Read(65536, 131072), 65536);

        Assert.Equal([NbdExportState.Recovering, NbdExportState.Ready], harness.Changes.Select(change => change.To));
        Assert.Contains("the connection", harness.Changes[0].Cause, StringComparison.Ordinal);
        Assert.Equal(135168, harness.Changes[0].LoggedBytes);
        Assert.Equal((2, 2L), (harness.Changes[1].Generation, harness.Changes[1].ReplayedWrites));
        Assert.True(harness.Changes[1].Attempts > 0);
        Assert.True(harness.Changes[1].Duration > TimeSpan.Zero);
        Assert.Equal((2, 1, 2L, connections), (harness.Export.Generation, harness.Export.Reconnects, harness.Export.ReplayedWrites, harness.Export.Connections));
        Assert.False(harness.Export.Failure.IsCompleted);
    }

    [Fact]
    public async Task Nothing_goes_out_before_the_log_is_acknowledged_and_then_all_in_order()
    {
        await using var server = new VolatileServer(Size);
        server.Start();
        await using RecoveryHarness harness = await RecoveryHarness.OpenAsync(server.SocketPath);
        await harness.Driver.Write(0, 4096, 1);
        await harness.Driver.Write(4096, 4096, 2);
        await server.CrashAsync();
        List<Task<int>> waiting = [];
        for (int i = 0; i < 10; i++)
        {
            waiting.Add(harness.Driver.Run(BlockOperation.Read, i * 4096, 4096));
            waiting.Add(harness.Driver.Run(BlockOperation.Write, 65536 + (i * 4096), 4096));
        }

        var replayed = new TaskCompletionSource();
        var goOn = new TaskCompletionSource();
        int held = 0;
        server.Before = async (script, request) =>
        {
            if (Interlocked.Increment(ref held) == 2)
            {
                // The second write of the log: everything else waits for its answer.
                replayed.SetResult();
                await goOn.Task;
            }

            return 0;
        };
        server.Start();
        await Deadline.Within(replayed.Task, "the log to be written");
        await harness.Driver.OnLoop(() => { });
        Assert.Equal(2, held);
        Assert.All(waiting, task => Assert.False(task.IsCompleted));
        goOn.SetResult();
        Assert.All(await Task.WhenAll(waiting), error => Assert.Equal(0, error));
        Assert.Equal([0, 4096], server.Requests.Take(2).Select(request => request.Offset));
        Assert.All(server.Requests.Take(2), request => Assert.Equal(NbdCommand.Write, request.Command));
        Assert.Equal(
            Enumerable.Range(0, 20).Select(i => (i % 2 == 0 ? NbdCommand.Read : NbdCommand.Write, i % 2 == 0 ? i / 2 * 4096L : 65536 + (i / 2 * 4096L))),
            server.Requests.Skip(2).Select(request => (request.Command, request.Offset)));
    }

    [Fact]
    public async Task Second_crash_during_the_replay_loses_nothing()
    {
        await using var server = new VolatileServer(Size);
        server.Start();
        await using RecoveryHarness harness = await RecoveryHarness.OpenAsync(server.SocketPath);
        for (int i = 0; i < 50; i++)
        {
            await harness.Driver.Write(i * 4096, 4096, 3);
        }

        for (int crash = 0; crash < 5; crash++)
        {
            var reached = new TaskCompletionSource();
            int count = 0;
            server.Before = (script, request) =>
            {
                if (++count == 20)
                {
                    reached.SetResult();
                    return Task.FromException<uint>(new ScriptException("crashing"));
                }

                return Task.FromResult(0u);
            };
            await server.CrashAsync();
            server.Start();
            await Deadline.Within(reached.Task, "the replay");
        }

        server.Before = null;
        await harness.Reconnected();
        Assert.Equal(0, await harness.Driver.Run(BlockOperation.Flush));
        PatternData.AssertEqual(PatternData.Create(3, 0, 50 * 4096), server.Durable().AsSpan(0, 50 * 4096));
        Assert.Equal([NbdExportState.Recovering, NbdExportState.Ready], harness.Changes.Select(change => change.To));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(4)]
    public async Task ESHUTDOWN_means_to_reconnect(int connections)
    {
        await using var server = new VolatileServer(Size);
        int told = 0;
        server.Before = (_, request) => Task.FromResult(
            request.Command == NbdCommand.Write && Interlocked.Increment(ref told) == 3 ? (uint)NbdError.Shutdown : 0);
        server.Start();
        await using RecoveryHarness harness = await RecoveryHarness.OpenAsync(
            server.SocketPath, new NbdExportOptions { Connections = connections });
        await Task.WhenAll(Enumerable.Range(0, 10).Select(i => harness.Driver.Write(i * 4096, 4096, 4)));
        await harness.Reconnected();
        Assert.Contains("ESHUTDOWN", harness.Changes[0].Cause, StringComparison.Ordinal);
        PatternData.AssertEqual(PatternData.Create(4, 0, 40960), await harness.Driver.Read(0, 40960));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(4)]
    public async Task Protocol_violation_means_to_reconnect(int connections)
    {
        await using var server = new VolatileServer(Size);
        int count = 0;
        server.Before = async (script, _) =>
        {
            if (Interlocked.Increment(ref count) == 3)
            {
                await script.SendAsync(new byte[64]);
            }

            return 0;
        };
        server.Start();
        await using RecoveryHarness harness = await RecoveryHarness.OpenAsync(
            server.SocketPath, new NbdExportOptions { Connections = connections });
        await Task.WhenAll(Enumerable.Range(0, 10).Select(i => harness.Driver.Write(i * 4096, 4096, 4)));
        await harness.Reconnected();
        Assert.Contains("magic", harness.Changes[0].Cause, StringComparison.Ordinal);
        PatternData.AssertEqual(PatternData.Create(4, 0, 40960), await harness.Driver.Read(0, 40960));
    }

    [Fact]
    public async Task Idle_export_notices_the_loss_and_the_return()
    {
        await using var server = new VolatileServer(Size);
        server.Start();
        await using RecoveryHarness harness = await RecoveryHarness.OpenAsync(server.SocketPath);
        for (int i = 1; i <= 5; i++)
        {
            await server.CrashAsync();
            await harness.Becomes(NbdExportState.Recovering);
            server.Start();
            await harness.Reconnected(i);
        }
    }

    [Fact]
    public async Task Abandoned_requests_end_while_the_server_is_away()
    {
        await using var server = new VolatileServer(Size);
        server.Start();
        await using RecoveryHarness harness = await RecoveryHarness.OpenAsync(server.SocketPath);
        await harness.Driver.Write(0, 512, 1);
        await server.CrashAsync();
        await harness.Becomes(NbdExportState.Recovering);
        (Task<int> Ended, Action Abandon)[] requests =
        [
            harness.Driver.Begin(BlockOperation.Read, 0, 4096),
            harness.Driver.Begin(BlockOperation.Flush),
            harness.Driver.Begin(BlockOperation.Write, 4096, 4096),

            // Parts of it: read, change and write back of the blocks at both ends.
            harness.Driver.Begin(BlockOperation.Write, 10_001, 5000),
            harness.Driver.Begin(BlockOperation.Write, 20_000, 10_000),
        ];
        await harness.Driver.OnLoop(() => { });
        foreach ((_, Action abandon) in requests)
        {
            abandon();
        }

        foreach ((Task<int> ended, _) in requests)
        {
            Assert.Equal(BlockErrno.EINTR, await ended);
        }

        Assert.Equal(NbdExportState.Recovering, harness.Export.State);
        Assert.Equal(0, harness.Driver.InFlight);
        server.Start();
        await harness.Reconnected();
        Assert.Single(server.Seen(NbdCommand.Write));
    }

    [Fact]
    public async Task Abandoned_write_that_was_sent_keeps_its_place_and_is_never_sent_again()
    {
        await using var server = new VolatileServer(Size);
        var arrived = new TaskCompletionSource();
        server.Before = async (script, request) =>
        {
            if (request.Command == NbdCommand.Write && request.Offset == 0 && arrived.TrySetResult())
            {
                await script.StaySilent();
                throw new OperationCanceledException();
            }

            return 0;
        };
        server.Start();
        await using RecoveryHarness harness = await RecoveryHarness.OpenAsync(server.SocketPath);
        byte[] first = [.. Enumerable.Repeat((byte)1, 4096)];
        byte[] second = [.. Enumerable.Repeat((byte)2, 4096)];
        (Task<int> sent, Action abandon) = harness.Driver.Begin(BlockOperation.Write, 0, 4096, 0, Pinned(first));
        await Deadline.Within(arrived.Task, "the write to arrive");
        Task<int> younger = harness.Driver.Run(BlockOperation.Write, 0, 4096, 0, Pinned(second));
        await server.CrashAsync();
        await harness.Becomes(NbdExportState.Recovering);
        abandon();
        await harness.Driver.OnLoop(() => { });
        server.Start();
        Assert.Equal(BlockErrno.EINTR, await sent);
        Assert.Equal(0, await younger);
        Assert.Equal(2, Assert.Single(server.Seen(NbdCommand.Write)).Payload[0]);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(4)]
    public async Task Closing_while_the_server_is_away_ends_what_waits(int connections)
    {
        await using var server = new VolatileServer(Size);
        server.Start();
        await using RecoveryHarness harness = await RecoveryHarness.OpenAsync(
            server.SocketPath, new NbdExportOptions { Connections = connections });
        await harness.Driver.Write(0, 4096, 1);
        await server.CrashAsync();
        Task<int>[] waiting = [.. Enumerable.Range(0, 20).Select(i => harness.Driver.Run(BlockOperation.Write, i * 4096, 4096))];
        await harness.Becomes(NbdExportState.Recovering);
        await harness.Driver.OnLoop(() => { });
        await Deadline.Within(harness.Export.DisposeAsync().AsTask(), "the export to close");
        Assert.All(await Task.WhenAll(waiting), error => Assert.Equal(BlockErrno.EIO, error));
        Assert.Equal(BlockErrno.EIO, await harness.Driver.Run(BlockOperation.Read, 0, 512));
    }

    [Fact]
    public async Task Time_limit_gives_an_error_to_those_who_wait_and_tells_what_is_lost()
    {
        await using var server = new VolatileServer(Size);
        server.Start();
        await using RecoveryHarness harness = await RecoveryHarness.OpenAsync(
            server.SocketPath, new NbdExportOptions { ReconnectTimeout = TimeSpan.FromMilliseconds(300) });
        await harness.Driver.Write(0, 4096, 1);
        await server.CrashAsync();
        Assert.Equal(BlockErrno.EIO, await harness.Driver.Run(BlockOperation.Read, 0, 4096));
        string reason = await harness.Fails();
        Assert.Contains("0.3 s", reason, StringComparison.Ordinal);
        Assert.Contains("1 writes (4096 bytes)", reason, StringComparison.Ordinal);
        Assert.Equal(NbdExportState.Failed, harness.Export.State);
        Assert.Equal(BlockErrno.EIO, await harness.Driver.Run(BlockOperation.Write, 0, 4096));
    }

    [Fact]
    public async Task Time_limit_that_only_warns_goes_on_waiting()
    {
        await using var server = new VolatileServer(Size);
        server.Start();
        await using RecoveryHarness harness = await RecoveryHarness.OpenAsync(
            server.SocketPath, new NbdExportOptions { ReconnectTimeout = TimeSpan.FromMilliseconds(1), OnTimeout = NbdTimeoutAction.Wait });
        await harness.Driver.Write(0, 4096, 1);
        await server.CrashAsync();
        await harness.Becomes(NbdExportState.Recovering);
        Task<int> read = harness.Driver.Run(BlockOperation.Read, 0, 4096);
        server.Start();
        Assert.Equal(0, await read);
    }

    [Fact]
    public async Task Refused_export_is_asked_for_again()
    {
        await using var server = new VolatileServer(Size);
        server.Start();
        await using RecoveryHarness harness = await RecoveryHarness.OpenAsync(server.SocketPath);
        await server.CrashAsync();
        await using (var stranger = new StrangeServer(server.SocketPath))
        {
            await harness.Becomes(NbdExportState.Recovering);
            await Deadline.Within(stranger.Visited, "the client to try");
        }

        server.Start();
        await harness.Reconnected();
        Assert.True(harness.Changes[^1].Attempts > 1);
    }

    private static byte[] Pinned(byte[] data)
    {
        byte[] pinned = GC.AllocateArray<byte>(data.Length, pinned: true);
        data.CopyTo(pinned, 0);
        return pinned;
    }

    /// <summary>Something else at the server's address: it speaks no NBD.</summary>
    private sealed class StrangeServer : IAsyncDisposable
    {
        private readonly System.Net.Sockets.Socket _listener = new(
            System.Net.Sockets.AddressFamily.Unix, System.Net.Sockets.SocketType.Stream, System.Net.Sockets.ProtocolType.Unspecified);

        private readonly string _path;

        public StrangeServer(string path)
        {
            _path = path;
            _listener.Bind(new System.Net.Sockets.UnixDomainSocketEndPoint(path));
            _listener.Listen();
            Visited = Task.Run(async () =>
            {
                using System.Net.Sockets.Socket client = await _listener.AcceptAsync();
                await client.SendAsync("220 mail ready at your service\r\n"u8.ToArray());
            });
        }

        public Task Visited { get; }

        public ValueTask DisposeAsync()
        {
            _listener.Dispose();
            File.Delete(_path);
            return ValueTask.CompletedTask;
        }
    }
}
