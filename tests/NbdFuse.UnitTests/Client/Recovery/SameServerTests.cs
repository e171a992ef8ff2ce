using NbdFuse.Block;
using NbdFuse.Client;
using NbdFuse.Protocol;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.UnitTests.Client.Recovery;

/// <summary>Whatever comes back at the address of a lost server: only the same disk gets a write.</summary>
public sealed class SameServerTests
{
    private const int Size = 1 << 20;

    public static TheoryData<string, bool> Impostors { get; } = new()
    {
        // What is there, and whether unflushed writes wait to be repeated.
        { "empty", true },
        { "empty", false },
        { "older", true },
        { "older", false },
        { "other", true },
        { "other", false },
    };

    [Theory]
    [MemberData(nameof(Impostors))]
    public async Task Another_disk_fails_the_export_and_is_not_written_to(string kind, bool hasUnflushed)
    {
        await using var server = new VolatileServer(Size);
        server.Replace(PatternData.Create(1, 0, Size));
        server.Start();
        await using RecoveryHarness harness = await RecoveryHarness.OpenAsync(server.SocketPath);
        byte[] older = server.Durable();
        for (int i = 0; i < 12; i++)
        {
            await harness.Driver.Write(i * 65536, 8192, 2);
        }

        Assert.Equal(0, await harness.Driver.Run(BlockOperation.Flush));
        if (hasUnflushed)
        {
            await harness.Driver.Write(900_000 / 512 * 512, 4096, 3);
        }

        await server.CrashAsync();
        server.Replace(kind switch
        {
            "empty" => new byte[Size],
            "older" => older,
            _ => PatternData.Create(77, 0, Size),
        });
        Task<int> waiting = harness.Driver.Run(BlockOperation.Write, 4096, 4096);
        server.Start();
        string reason = await harness.Fails();
        Assert.Contains("another disk", reason, StringComparison.Ordinal);
        Assert.Equal(hasUnflushed, reason.Contains("1 writes (4096 bytes) that were not flushed are lost", StringComparison.Ordinal));
        Assert.Equal(BlockErrno.EIO, await waiting);
        Assert.Equal(BlockErrno.EIO, await harness.Driver.Run(BlockOperation.Read, 0, 512));
        Assert.All(server.Requests, request => Assert.Equal(NbdCommand.Read, request.Command));
        Assert.Equal(NbdExportState.Failed, harness.Export.State);
    }

    [Fact]
    public async Task Another_disk_is_recognised_by_what_was_only_read()
    {
        await using var server = new VolatileServer(Size);
        server.Replace(PatternData.Create(1, 0, Size));
        server.Start();
        await using RecoveryHarness harness = await RecoveryHarness.OpenAsync(
            server.SocketPath, new NbdExportOptions { Connections = 1, ReadOnly = true });
        await harness.Driver.Read(131072, 512);
        await server.CrashAsync();
        server.Replace(new byte[Size]);
        server.Start();
        Assert.Contains("512 bytes at 131072", await harness.Fails(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Server_that_forgot_what_was_not_flushed_is_the_same(bool hasLog)
    {
        await using var server = new VolatileServer(Size);
        server.Start();
        await using RecoveryHarness harness = await RecoveryHarness.OpenAsync(
            server.SocketPath, new NbdExportOptions { Connections = 1, WriteLogBytes = hasLog ? 1 << 20 : 0 });
        await harness.Driver.Write(0, 65536, 1);
        Assert.Equal(0, await harness.Driver.Run(BlockOperation.Flush));
        for (int i = 0; i < 8; i++)
        {
            await harness.Driver.Write(i * 8192, 4096, 5);
            await harness.Driver.Read(i * 8192, 8192);
        }

        await server.CrashAsync();
        server.Start();
        await harness.Reconnected();
        byte[] first = await harness.Driver.Read(0, 4096);
        PatternData.AssertEqual(PatternData.Create(hasLog ? 5u : 1u, 0, 4096), first);

        // What was lost must not count as durable later on.
        Assert.Equal(hasLog ? 0 : BlockErrno.EIO, await harness.Driver.Run(BlockOperation.Flush));
        Assert.Equal(0, await harness.Driver.Run(BlockOperation.Flush));
        await server.CrashAsync();
        server.Start();
        await harness.Reconnected(2);
    }

    [Theory]
    [InlineData("smaller")]
    [InlineData("flags")]
    [InlineData("read-only")]
    [InlineData("blocks")]
    public async Task Another_export_fails_the_export(string kind)
    {
        await using var server = new VolatileServer(Size);
        server.Start();
        await using RecoveryHarness harness = await RecoveryHarness.OpenAsync(server.SocketPath);
        await harness.Driver.Write(0, 4096, 1);
        await server.CrashAsync();
        switch (kind)
        {
            case "smaller":
                server.Replace(new byte[Size - 512]);
                break;
            case "flags":
                server.Export = server.Export with { Flags = server.Export.Flags & ~NbdTransmissionFlags.SendFlush };
                break;
            case "read-only":
                server.Export = server.Export with { Flags = server.Export.Flags | NbdTransmissionFlags.ReadOnly };
                break;
            default:
                server.Export = server.Export with { BlockSizes = (4096, 4096, 1 << 20) };
                break;
        }

        server.Start();
        Assert.Contains("another export than before", await harness.Fails(), StringComparison.Ordinal);
        Assert.Empty(server.Requests);
    }

    [Fact]
    public async Task Larger_export_is_the_same_and_has_grown()
    {
        await using var server = new VolatileServer(Size);
        server.Start();
        await using RecoveryHarness harness = await RecoveryHarness.OpenAsync(server.SocketPath);
        var sizes = new List<long>();
        harness.Export.Grown += () => sizes.Add(harness.Export.Info.Size);
        await harness.Driver.Write(0, 4096, 1);
        Assert.Equal(0, await harness.Driver.Run(BlockOperation.Flush));
        await harness.Driver.Write(4096, 4096, 2);
        await server.CrashAsync();
        server.Replace([.. server.Durable(), .. new byte[Size]]);
        Task<byte[]> waiting = harness.Driver.Read(0, 4096);
        server.Start();
        PatternData.AssertEqual(PatternData.Create(1, 0, 4096), await waiting);
        Assert.Equal([2 * Size], sizes);
        Assert.Equal(2 * Size, (long)harness.Export.Negotiated.Export.Size);
        await harness.Driver.AdoptSize();
        await harness.Driver.Write((2 * Size) - 8192, 8192, 3);
        Assert.Equal(0, await harness.Driver.Run(BlockOperation.Flush));
        PatternData.AssertEqual(await harness.Driver.Read((2 * Size) - 8192, 8192), server.Durable()[^8192..]);
        PatternData.AssertEqual(PatternData.Create(2, 4096, 4096), server.Durable()[4096..8192]);

        // What it was at first is less than it is.
        await server.CrashAsync();
        server.Replace(server.Durable()[..Size]);
        server.Start();
        Assert.Contains($"it has {Size} bytes instead of {2 * Size}", await harness.Fails(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Shared_export_may_have_changed()
    {
        await using var server = new VolatileServer(Size);
        server.Start();
        await using RecoveryHarness harness = await RecoveryHarness.OpenAsync(
            server.SocketPath, new NbdExportOptions { Connections = 1, Shared = true });
        Assert.Equal(0, harness.Export.WriteLogCapacity);
        await harness.Driver.Write(0, 4096, 1);
        Assert.Equal(0, await harness.Driver.Run(BlockOperation.Flush));
        await server.CrashAsync();
        server.Replace(PatternData.Create(5, 0, Size));
        server.Start();
        await harness.Reconnected();
        PatternData.AssertEqual(PatternData.Create(5, 0, 4096), await harness.Driver.Read(0, 4096));
        Assert.Equal(0, await harness.Driver.Run(BlockOperation.Flush));
    }

    [Fact]
    public async Task Blocks_that_cannot_be_read_prove_nothing_and_the_search_goes_on()
    {
        await using var server = new VolatileServer(Size);
        server.Start();
        await using RecoveryHarness harness = await RecoveryHarness.OpenAsync(server.SocketPath);
        await harness.Driver.Write(0, 4096, 1);
        Assert.Equal(0, await harness.Driver.Run(BlockOperation.Flush));
        await harness.Driver.Write(65536, 4096, 1);
        await server.CrashAsync();
        int failed = 0;
        server.Before = (_, request) => Task.FromResult(
            request.Command == NbdCommand.Read && Interlocked.Increment(ref failed) <= 3 ? (uint)NbdError.Io : 0);
        server.Start();
        await harness.Reconnected();
        Assert.True(failed > 3);
        Assert.Equal(65536, Assert.Single(server.Seen(NbdCommand.Write)).Offset);
    }

    [Fact]
    public async Task Another_disk_is_recognised_by_a_read_of_what_waits_for_no_flush()
    {
        await using var server = new VolatileServer(Size);
        server.Replace(PatternData.Create(1, 0, Size));
        server.Start();
        await using RecoveryHarness harness = await RecoveryHarness.OpenAsync(server.SocketPath);
        await harness.Driver.Write(0, 4096, 2);
        await harness.Driver.Read(131072, 4096);
        await server.CrashAsync();
        server.Replace(new byte[Size]);
        server.Start();
        Assert.Contains("4096 bytes at 131072", await harness.Fails(), StringComparison.Ordinal);
        Assert.Empty(server.Seen(NbdCommand.Write));
    }

    [Fact]
    public async Task Write_that_is_withdrawn_during_the_comparison_disturbs_nothing()
    {
        await using var server = new VolatileServer(Size);
        server.Start();
        await using RecoveryHarness harness = await RecoveryHarness.OpenAsync(server.SocketPath);
        for (int i = 0; i < 8; i++)
        {
            await harness.Driver.Write(i * 65536, 4096, (ulong)i + 1);
        }

        Assert.Equal(0, await harness.Driver.Run(BlockOperation.Flush));
        await server.CrashAsync();
        await harness.Becomes(NbdExportState.Recovering);
        (Task<int> write, Action abandon) = harness.Driver.Begin(BlockOperation.Write, 0, 4096);
        var compared = new TaskCompletionSource();
        var goOn = new TaskCompletionSource();
        server.Before = async (script, request) =>
        {
            compared.TrySetResult();
            await goOn.Task.WaitAsync(script.Stop);
            return 0;
        };
        server.Start();
        await Deadline.Within(compared.Task, "the comparison");
        abandon();
        Assert.Equal(BlockErrno.EINTR, await write);
        goOn.SetResult();
        await harness.Reconnected();
        Assert.True(server.Seen(NbdCommand.Read).Count >= 8);
        Assert.Empty(server.Seen(NbdCommand.Write));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Read_beside_a_write_that_was_lost_proves_nothing(bool wasExecuted)
    {
        await using var server = new VolatileServer(Size);
        server.Replace(PatternData.Create(1, 0, Size));
        var arrived = new TaskCompletionSource();
        server.Before = async (script, request) =>
        {
            if (request.Command == NbdCommand.Write && arrived.TrySetResult())
            {
                await script.StaySilent();
                throw new OperationCanceledException();
            }

            return 0;
        };
        server.Start();
        await using RecoveryHarness harness = await RecoveryHarness.OpenAsync(
            server.SocketPath, new NbdExportOptions { Connections = 2, Movers = 0 });
        byte[] payload = GC.AllocateArray<byte>(65536, pinned: true);
        Array.Fill(payload, (byte)9);
        Task<int> write = harness.Driver.Run(BlockOperation.Write, 0, payload.Length, 0, payload);
        await Deadline.Within(arrived.Task, "the write");
        await harness.Driver.Read(0, 4096);
        await server.CrashAsync();
        if (wasExecuted)
        {
            byte[] disk = server.Durable();
            payload.CopyTo(disk, 0);
            server.Replace(disk);
        }

        server.Start();
        Assert.Equal(0, await write);
        Assert.Equal(1, harness.Export.Reconnects);
        PatternData.AssertEqual(payload, server.Memory().AsSpan(0, payload.Length));
    }

    [Fact]
    public async Task Trim_that_the_server_forgot_is_no_other_disk()
    {
        await using var server = new VolatileServer(Size);
        server.Replace(PatternData.Create(1, 0, Size));
        server.Start();
        await using RecoveryHarness harness = await RecoveryHarness.OpenAsync(server.SocketPath);
        Assert.Equal(0, await harness.Driver.Run(BlockOperation.Trim, 0, 65536));
        await harness.Driver.Read(0, 4096);
        await server.CrashAsync();
        server.Start();
        await harness.Reconnected();
        Assert.Equal(0, await harness.Driver.Run(BlockOperation.Flush));
        await server.CrashAsync();
        server.Start();
        await harness.Reconnected(2);
    }

    [Fact]
    public async Task Write_that_failed_and_left_something_in_memory_is_no_other_disk()
    {
        await using var server = new VolatileServer(Size);
        server.Replace(PatternData.Create(1, 0, Size));
        int failed = 0;
        server.Before = (_, request) =>
        {
            // Half of it reached the cache, and is gone with the crash.
            if (request.Command == NbdCommand.Write && Interlocked.Exchange(ref failed, 1) == 0)
            {
                server.Scribble(request.Offset, 2048);
                return Task.FromResult((uint)NbdError.Io);
            }

            return Task.FromResult(0u);
        };
        server.Start();
        await using RecoveryHarness harness = await RecoveryHarness.OpenAsync(server.SocketPath);
        Assert.Equal(BlockErrno.EIO, await harness.Driver.Run(BlockOperation.Write, 0, 4096));
        await harness.Driver.Read(0, 4096);
        await server.CrashAsync();
        server.Start();
        await harness.Reconnected();
        PatternData.AssertEqual(PatternData.Create(1, 0, 4096), await harness.Driver.Read(0, 4096));
    }
}
