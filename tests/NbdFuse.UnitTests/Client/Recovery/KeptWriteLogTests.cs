using System.Runtime.InteropServices;
using NbdFuse.Block;
using NbdFuse.Client;
using NbdFuse.Client.Transmission;
using NbdFuse.Native;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.UnitTests.Client.Recovery;

/// <summary>A write log whose process is killed: what the next one finds.</summary>
public sealed class KeptWriteLogTests
{
    private const int Disk = 64 * 1024;
    private const int Block = 512;

    // Of the layout: bytes in front of the entries, and the words that count entries.
    private const int Page = 4096;
    private const int AppendedWord = 4;
    private const int ReleasedWord = 5;

    private readonly ReadyList _ready = new();

    public static TheoryData<int> Seeds => [.. Enumerable.Range(1, Requires.IsSoak ? 200 : 12)];

    [Theory]
    [MemberData(nameof(Seeds))]
    public void Killed_between_any_two_stores_it_holds_exactly_what_was_acknowledged(int seed)
    {
        var random = new Random(seed);
        WriteLog log = WriteLog.CreateShared(0, Block);
        try
        {
            List<BlockRequest> acknowledged = [];
            int released = 0;
            for (int step = 0; step < 400; step++)
            {
                byte[] before = Copy(log);
                int countBefore = acknowledged.Count;
                int releasedBefore = released;
                BlockRequest request = Random(random, step);
                if (random.Next(12) != 0 && log.TryReserve(request))
                {
                    log.Append(request);
                    acknowledged.Add(request);
                }
                else
                {
                    released = (int)log.Released + random.Next(log.Count + 1);
                    log.ReleaseUntil(released);
                }

                if (step % 4 != 0)
                {
                    continue;
                }

                byte[] after = Copy(log);
                bool isDone = random.Next(2) == 0;
                byte[] killed = isDone ? after : Mix(random, before, after);
                (int count, int gone) = isDone ? (acknowledged.Count, released) : (countBefore, releasedBefore);
                WriteLog found = WriteLog.Adopt(Memory(killed), Block)!;
                AssertHolds(found, acknowledged[gone..count], gone, $"seed {seed}, step {step}");
                if (random.Next(3) == 0)
                {
                    // The next process goes on with it.
                    log.Dispose();
                    log = found;
                    acknowledged.RemoveRange(count, acknowledged.Count - count);
                    released = gone;
                }
                else
                {
                    found.Dispose();
                }
            }
        }
        finally
        {
            log.Dispose();
        }
    }

    [Fact]
    public void Damaged_entry_is_found_whichever_bit_it_is()
    {
        using WriteLog log = WriteLog.CreateShared(0, Block);
        for (int i = 0; i < 3; i++)
        {
            Append(log, Write(i * 4096, 1024, (ulong)i));
        }

        log.ReleaseUntil(1);
        byte[] whole = Copy(log);
        for (int bit = 0; bit < 2 * WriteLogEntry.Bytes * 8; bit++)
        {
            byte[] damaged = [.. whole];
            damaged[Page + WriteLogEntry.Bytes + (bit / 8)] ^= (byte)(1 << (bit % 8));
            Assert.Throws<NbdWriteLogException>(() => WriteLog.Adopt(Memory(damaged), Block));
        }

        // The first one has left: nobody looks at it.
        whole[Page] ^= 1;
        using WriteLog found = WriteLog.Adopt(Memory(whole), Block)!;
        Assert.Equal(2, found.Count);
    }

    [Theory]
    [InlineData(0, 17)]
    [InlineData(1, 4096)]
    [InlineData(2, 3)]
    [InlineData(AppendedWord, 1000)]
    [InlineData(AppendedWord, 1)]
    [InlineData(ReleasedWord, -1)]
    public void Log_with_impossible_numbers_is_refused(int word, long value)
    {
        using WriteLog log = WriteLog.CreateShared(0, Block);
        for (int i = 0; i < 3; i++)
        {
            Append(log, Write(i * 4096, 1024, (ulong)i));
        }

        log.ReleaseUntil(2);
        byte[] damaged = Copy(log);
        MemoryMarshal.Cast<byte, long>(damaged.AsSpan())[word] = value;
        Assert.Throws<NbdWriteLogException>(() => WriteLog.Adopt(Memory(damaged), Block));
    }

    [Fact]
    public void Log_for_other_blocks_is_refused_unless_it_is_empty()
    {
        using WriteLog log = WriteLog.CreateShared(0, Block);
        Assert.Null(WriteLog.Adopt(Memory(Copy(log)), 4096));
        Append(log, Write(0, 1024, 1));
        Assert.Throws<NbdWriteLogException>(() => WriteLog.Adopt(Memory(Copy(log)), 4096));
        log.ReleaseUntil(1);
        Assert.Null(WriteLog.Adopt(Memory(Copy(log)), 4096));
    }

    [Fact]
    public void Empty_log_of_another_version_is_not_needed()
    {
        using WriteLog log = WriteLog.CreateShared(0, Block);
        Append(log, Write(0, 1024, 1));
        log.ReleaseUntil(1);
        byte[] other = Copy(log);
        other[0]++;
        Assert.Null(WriteLog.Adopt(Memory(other), Block));
    }

    [Fact]
    public void Samples_are_found_except_those_that_were_forgotten_or_are_torn()
    {
        using WriteLog log = WriteLog.CreateShared(0, Block);
        var before = new Fingerprint(Block, log.Memory);
        for (int i = 0; i < 6; i++)
        {
            before.NoteWrite(Write(i * 8192, 4096, (ulong)i), i + 1, 0, 1000 * i);
        }

        before.Forget(8192, 8193);
        (long, long, ulong)[] expected = Samples(before);
        Assert.Equal(5, expected.Length);

        using (WriteLog found = WriteLog.Adopt(Memory(Copy(log)), Block)!)
        {
            var fingerprint = new Fingerprint(Block, found.Memory);
            Assert.Equal(expected, Samples(fingerprint));
            fingerprint.ForgetNewerThan(3);
            using WriteLog again = WriteLog.Adopt(Memory(Copy(found)), Block)!;
            Assert.Equal(expected.Where(sample => sample.Item2 <= 3), Samples(new Fingerprint(Block, again.Memory)));
        }

        byte[] torn = Copy(log);
        torn[1024 + 8] ^= 1;
        using WriteLog half = WriteLog.Adopt(Memory(torn), Block)!;
        Assert.Equal(4, new Fingerprint(Block, half.Memory).Count);
    }

    private static (long Offset, long Acknowledged, ulong Digest)[] Samples(Fingerprint fingerprint) =>
        [.. Enumerable.Range(0, fingerprint.Count).Select(i => (fingerprint[i].Offset, fingerprint[i].Acknowledged, fingerprint[i].Digest)).Order()];

    // Some of the stores of a step, in any order, but never one that counts: that one comes last.
    private static byte[] Mix(Random random, byte[] before, byte[] after)
    {
        byte[] mixed = [.. before];
        Span<ulong> words = MemoryMarshal.Cast<byte, ulong>(mixed.AsSpan());
        Span<ulong> news = MemoryMarshal.Cast<byte, ulong>(after.AsSpan());
        double share = random.NextDouble();
        for (int i = 0; i < words.Length; i++)
        {
            if (i is not (AppendedWord or ReleasedWord) && random.NextDouble() < share)
            {
                words[i] = news[i];
            }
        }

        return mixed;
    }

    private static void AssertHolds(WriteLog log, List<BlockRequest> changes, int released, string where)
    {
        Assert.True(log.Count == changes.Count && log.Released == released, $"{where}: {log.Count} entries, {log.Released} gone");
        byte[] expected = new byte[Disk];
        bool[] isKnown = new bool[Disk];
        foreach (BlockRequest change in changes)
        {
            Span<byte> place = expected.AsSpan((int)change.Offset, (int)change.Length);
            place.Clear();
            change.Buffer.Span.CopyTo(place);
            Array.Fill(isKnown, change.Operation != BlockOperation.Trim, (int)change.Offset, (int)change.Length);
        }

        bool[] written = new bool[Disk];
        byte[] actual = new byte[Disk];
        foreach (ReplayPiece piece in log.Plan())
        {
            Array.Fill(written, true, (int)piece.Offset, (int)piece.Length);
            if (!piece.IsZeroes)
            {
                log.PayloadOf(piece).Span.CopyTo(actual.AsSpan((int)piece.Offset));
            }
        }

        Assert.True(written.AsSpan().SequenceEqual(isKnown), $"{where}: other places are written");
        for (int i = 0; i < Disk; i++)
        {
            Assert.True(!isKnown[i] || actual[i] == expected[i], $"{where}: byte {i}");
        }
    }

    private static byte[] Copy(WriteLog log)
    {
        using NativeRegion region = NativeRegion.Adopt(FileDescriptor.OwnOrThrow(Posix.Dup(log.Memory.Descriptor!.Value), "duplicate"));
        return region.Span(0, (int)region.Length).ToArray();
    }

    private static FileDescriptor Memory(byte[] content)
    {
        using NativeRegion region = NativeRegion.Create("test", content.Length);
        content.CopyTo(region.Span(0, content.Length));
        return FileDescriptor.OwnOrThrow(Posix.Dup(region.FileDescriptor.Value), "duplicate");
    }

    private static void Append(WriteLog log, BlockRequest request)
    {
        Assert.True(log.TryReserve(request));
        log.Append(request);
    }

    private BlockRequest Random(Random random, int step)
    {
        int length = random.Next(1, random.Next(10) == 0 ? 60 : 8) * Block;
        long offset = random.Next((Disk - length) / Block) * (long)Block;
        return random.Next(10) switch
        {
            0 => Request(BlockOperation.Trim, offset, length),
            1 => Request(BlockOperation.WriteZeroes, offset, length),
            _ => Write(offset, length, (ulong)step),
        };
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
