using NbdFuse.Block;
using NbdFuse.Client.Transmission;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.UnitTests.Client.Recovery;

public sealed class WriteLogTests
{
    private const int Disk = 64 * 1024;
    private readonly ReadyList _ready = new();

    public static TheoryData<int> Seeds => [.. Enumerable.Range(1, 20)];

    [Fact]
    public void Entry_stays_until_a_flush_that_was_sent_after_it()
    {
        using var log = new WriteLog(0, 512);
        Append(log, Write(0, 512, 1));
        long sent = log.Appended;
        Append(log, Write(512, 1024, 2));
        log.ReleaseUntil(sent);
        Assert.Equal(1, log.Count);
        Assert.Equal(1024, log.Bytes);
        Assert.Equal(512, Assert.Single(log.Plan()).Offset);
        log.ReleaseUntil(log.Appended);
        Assert.Equal(0, log.Count);
        Assert.Equal(0, log.Bytes);
        Assert.Empty(log.Plan());
    }

    [Fact]
    public void Older_flush_releases_nothing_more()
    {
        using var log = new WriteLog(0, 512);
        Append(log, Write(0, 512, 1));
        Append(log, Write(512, 512, 1));
        log.ReleaseUntil(2);
        log.ReleaseUntil(1);
        Assert.Equal(2, log.Released);
        Append(log, Write(1024, 512, 1));
        Assert.Equal(1, log.Count);
    }

    [Fact]
    public void Room_is_set_aside_before_and_bounds_what_is_under_way()
    {
        using var log = new WriteLog(0, 512);
        Assert.Equal(WriteLog.SmallestBytes, log.Capacity);
        BlockRequest half = Write(0, log.MaximumPayload, 1);
        Assert.True(log.TryReserve(half));
        Assert.True(log.TryReserve(half));
        Assert.False(log.TryReserve(Write(0, 512, 1)));
        log.Unreserve(half);
        Assert.True(log.TryReserve(Write(0, 512, 1)));
        log.Append(half);
        Assert.True(log.IsHalfFull);
        Assert.False(log.TryReserve(half));
    }

    [Fact]
    public void Entries_are_bounded_too()
    {
        using var log = new WriteLog(0, 512);
        BlockRequest trim = Request(BlockOperation.Trim, 0, 512);
        int count = 0;
        while (log.TryReserve(trim))
        {
            log.Append(trim);
            count++;
        }

        Assert.True(log.IsHalfFull);
        Assert.Equal(WriteLog.SmallestBytes / 2048, count);
        log.ReleaseUntil(log.Appended);
        Assert.True(log.TryReserve(trim));
    }

    [Fact]
    public void Trim_cuts_older_writes_and_not_younger_ones()
    {
        using var log = new WriteLog(0, 512);
        Append(log, Write(0, 4096, 1));
        Append(log, Request(BlockOperation.Trim, 1024, 1024));
        Append(log, Write(1536, 512, 2));
        (long Offset, long Length)[] pieces = [.. log.Plan().Select(p => (p.Offset, p.Length)).Order()];
        Assert.Equal([(0, 1024), (1536, 512), (2048, 2048)], pieces);
    }

    [Fact]
    public void Zeroes_keep_whether_they_must_be_allocated()
    {
        using var log = new WriteLog(0, 512);
        BlockRequest zeroes = Request(BlockOperation.WriteZeroes, 0, 512);
        zeroes.Flags = BlockRequestFlags.NoHole | BlockRequestFlags.Fua;
        Append(log, zeroes);
        Append(log, Request(BlockOperation.WriteZeroes, 1024, 512));
        Assert.Equal(
            [(0L, true, true), (1024L, false, true)], log.Plan().Select(p => (p.Offset, p.NoHole, p.IsZeroes)).Order());
    }

    [Theory]
    [MemberData(nameof(Seeds))]
    public void Plan_in_any_order_gives_what_the_changes_gave_in_their_order(int seed)
    {
        var random = new Random(seed);
        int block = seed % 3 == 0 ? 1 : 512;
        using var log = new WriteLog(0, block);
        byte[] durable = new byte[Disk];
        byte[] expected = new byte[Disk];
        bool[] unknown = new bool[Disk];
        for (int step = 0; step < 3000; step++)
        {
            int length = random.Next(1, random.Next(10) == 0 ? 40 : 6) * block * (block == 1 ? 200 : 1);
            long offset = random.Next((Disk - length) / block) * (long)block;
            BlockOperation operation = random.Next(10) switch
            {
                0 => BlockOperation.Trim,
                1 or 2 => BlockOperation.WriteZeroes,
                _ => BlockOperation.Write,
            };
            BlockRequest request = operation == BlockOperation.Write ? Write(offset, length, (ulong)step) : Request(operation, offset, length);
            if (!log.TryReserve(request))
            {
                log.ReleaseUntil(log.Appended - random.Next(log.Count));
                expected.CopyTo(durable, 0);
                continue;
            }

            log.Append(request);
            Span<byte> place = expected.AsSpan((int)offset, length);
            place.Clear();
            request.Buffer.Span.CopyTo(place);
            Array.Fill(unknown, operation == BlockOperation.Trim, (int)offset, length);
            if (step % 100 == 0)
            {
                // What is released is durable; of the rest the server has lost everything, or something.
                byte[] crashed = [.. expected];
                List<ReplayPiece> plan = log.Plan();
                foreach (ReplayPiece piece in plan)
                {
                    crashed.AsSpan((int)piece.Offset, (int)piece.Length).Fill(0xEE);
                }

                ReplayPiece[] shuffled = [.. plan];
                random.Shuffle(shuffled);
                foreach (ReplayPiece piece in shuffled)
                {
                    Span<byte> target = crashed.AsSpan((int)piece.Offset, (int)piece.Length);
                    Assert.Equal(0, piece.Offset % block);
                    Assert.Equal(0, piece.Length % block);
                    if (piece.IsZeroes)
                    {
                        target.Clear();
                    }
                    else
                    {
                        log.PayloadOf(piece).Span.CopyTo(target);
                    }
                }

                for (int i = 0; i < Disk; i++)
                {
                    Assert.True(unknown[i] || crashed[i] == expected[i], $"byte {i} in step {step}");
                }

                Assert.True(log.Bytes <= log.Capacity);
            }
        }
    }

    [Fact]
    public void Painter_tells_what_is_new()
    {
        var random = new Random(7);
        for (int round = 0; round < 200; round++)
        {
            (int Start, int End)[] ranges = [.. Enumerable.Range(0, 40).Select(_ =>
            {
                int start = random.Next(190);
                return (start, start + random.Next(1, 200 - start));
            })];
            var painter = new RangePainter(ranges.Length);
            foreach ((int start, int end) in ranges)
            {
                painter.Announce(start, end);
            }

            bool[] there = new bool[200];
            foreach ((int start, int end) in ranges)
            {
                List<(long Start, long End)> news = [];
                painter.Paint(start, end, news);
                bool[] told = new bool[200];
                foreach ((long from, long to) in news)
                {
                    Array.Fill(told, true, (int)from, (int)(to - from));
                }

                for (int at = 0; at < 200; at++)
                {
                    bool isNew = at >= start && at < end && !there[at];
                    Assert.Equal(isNew, told[at]);
                    there[at] |= isNew;
                }
            }
        }
    }

    [Fact]
    public void Full_log_of_the_largest_size_is_planned_in_time()
    {
        // A hang of the loop would be a hang of the device: the plan must not grow with the square of the entries.
        var random = new Random(3);
        var painter = new RangePainter(300_000);
        long[] starts = [.. Enumerable.Range(0, 300_000).Select(_ => random.NextInt64(1L << 40) & ~4095)];
        foreach (long start in starts)
        {
            painter.Announce(start, start + 8192);
        }

        List<(long Start, long End)> news = [];
        foreach (long start in starts)
        {
            painter.Paint(start, start + 8192, news);
        }

        Assert.InRange(news.Count, 290_000, 600_000);
    }

    [Fact]
    public void Log_knows_what_depends_on_it()
    {
        using var log = new WriteLog(0, 512);
        Append(log, Write(4096, 512, 1));
        Assert.True(log.Touches(0, 4097));
        Assert.False(log.Touches(0, 4096));
        Assert.False(log.Touches(4608, 9000));
        log.ReleaseUntil(1);
        Assert.False(log.Touches(0, 9000));
    }

    [Fact]
    public void Longest_write_is_whole_blocks_of_any_size()
    {
        using var log = new WriteLog(320 * 1024, 65536);
        Assert.Equal(0, log.MaximumPayload % 65536);
    }

    private static void Append(WriteLog log, BlockRequest request)
    {
        Assert.True(log.TryReserve(request));
        log.Append(request);
    }

    private BlockRequest Write(long offset, int length, ulong seed)
    {
        BlockRequest request = Request(BlockOperation.Write, offset, length);
        request.Buffer = PatternData.Create(seed, offset, length);
        return request;
    }

    private BlockRequest Request(BlockOperation operation, long offset, long length) =>
        new(_ready, 0) { Operation = operation, Offset = offset, Length = length };
}
