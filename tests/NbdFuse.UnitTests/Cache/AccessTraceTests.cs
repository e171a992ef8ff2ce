using System.Buffers.Binary;
using NbdFuse.Cache;
using NbdFuse.TestKit;
using NbdFuse.UnitTests.Protocol;
using Xunit;

namespace NbdFuse.UnitTests.Cache;

public class AccessTraceTests
{
    private const long Size = (1 << 20) + 5;

    [Fact]
    public void Trace_comes_back_from_its_bytes_as_it_was()
    {
        AccessTrace trace = AccessTrace.Of(Size, [(200, 1), (3, 5), (256, 1), (0, 2)]);

        AccessTrace back = AccessTrace.Parse(trace.ToBytes());

        Assert.Equal([(200L, 1), (3L, 5), (256L, 1), (0L, 2)], Entries(back));
        Assert.Equal((Size, 9L << 12), (back.Size, back.Bytes));
    }

    [Fact]
    public void Trace_of_a_boot_takes_three_or_four_bytes_for_each_read()
    {
        AccessTrace trace = AccessTrace.Of(1L << 34, [.. Enumerable.Range(0, 1000).Select(i => (i * 7919L % 4_000_000, 32))]);

        Assert.InRange(trace.ToBytes().Length, 2000, 5000);
    }

    [Fact]
    public void What_is_read_again_is_left_out() => SeededRounds.Run(50, random =>
    {
        (long Granule, int Count)[] reads = [.. Enumerable.Range(0, 60).Select(_ => ((long)random.Next(200), random.Next(1, 57)))];
        var seen = new HashSet<long>();
        long[] expected = [.. reads.SelectMany(Granules).Where(seen.Add)];

        AccessTrace trace = AccessTrace.Of(Size, reads);

        Assert.Equal(expected, Entries(trace).SelectMany(Granules));
        Assert.Equal(Entries(trace), Entries(AccessTrace.Parse(trace.ToBytes())));
    });

    [Fact]
    public void File_is_replaced_as_a_whole_and_read_back()
    {
        using var directory = new TempDirectory();
        File.WriteAllText(directory["trace"], "something older, and longer than the new one");

        AccessTrace.Of(Size, [(7, 2)]).Write(directory["trace"]);

        Assert.Equal([(7L, 2)], Entries(AccessTrace.Read(directory["trace"])));
        Assert.Equal([directory["trace"]], Directory.GetFiles(directory.Path));
    }

    [Fact]
    public void Damage_anywhere_is_refused()
    {
        byte[] good = AccessTrace.Of(Size, [(200, 1), (3, 5), (256, 1)]).ToBytes();
        for (int length = 0; length < good.Length; length++)
        {
            Assert.Throws<AccessTraceException>(() => AccessTrace.Parse(good.AsSpan(0, length)));
        }

        for (int bit = 0; bit < good.Length * 8; bit++)
        {
            byte[] bad = [.. good];
            bad[bit / 8] ^= (byte)(1 << (bit % 8));
            Assert.Throws<AccessTraceException>(() => AccessTrace.Parse(bad));
        }

        Assert.Throws<AccessTraceException>(() => AccessTrace.Parse([.. good, 0]));
    }

    [Theory]
    [InlineData("beyond the end", 1, new byte[] { 0x82, 0x04, 0x00 })]
    [InlineData("across the end", 1, new byte[] { 0x80, 0x04, 0x01 })]
    [InlineData("before the beginning", 1, new byte[] { 0x01, 0x00 })]
    [InlineData("too long", 1, new byte[] { 0x00, 0x80, 0x02 })]
    [InlineData("overlapping", 2, new byte[] { 0x00, 0x03, 0x01, 0x00 })]
    [InlineData("more than there are", 3, new byte[] { 0x00, 0x00, 0x00, 0x00 })]
    [InlineData("fewer than there are", 1, new byte[] { 0x00, 0x00, 0x00, 0x00 })]
    [InlineData("very many", uint.MaxValue, new byte[] { 0x00, 0x00 })]
    [InlineData("a number without end", 1, new byte[] { 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00, 0x00 })]
    [InlineData("a number beyond 64 bits", 1, new byte[] { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0x00 })]
    [InlineData("a distance that wraps", 1, new byte[] { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0x00 })]
    public void Hostile_content_with_a_right_checksum_is_refused(string what, uint count, byte[] body)
    {
        var exception = Assert.Throws<AccessTraceException>(() => AccessTrace.Parse(Make(1, count, Size, body)));
        Assert.True(exception.Message.Contains("damaged", StringComparison.Ordinal), what);
    }

    [Fact]
    public void Other_versions_and_other_files_are_told_apart()
    {
        Assert.Contains("version 2", Assert.Throws<AccessTraceException>(() => AccessTrace.Parse(Make(2, 0, Size, []))).Message, StringComparison.Ordinal);
        Assert.Contains("no access trace", Assert.Throws<AccessTraceException>(() => AccessTrace.Parse(new byte[100])).Message, StringComparison.Ordinal);
        Assert.Throws<AccessTraceException>(() => AccessTrace.Parse(Make(1, 0, -1, [])));
        Assert.Equal(0, AccessTrace.Parse(Make(1, 0, Size, [])).Count);
    }

    [Fact]
    public void Endless_file_is_refused_after_the_longest_trace() =>
        Assert.Throws<AccessTraceException>(() => AccessTrace.Read("/dev/zero"));

    [Fact]
    public void Random_bytes_never_do_more_than_be_refused() => SeededRounds.Run(300, random =>
    {
        byte[] body = new byte[random.Next(40)];
        random.NextBytes(body);
        try
        {
            AccessTrace trace = AccessTrace.Parse(Make(1, (uint)random.Next(1, 20), Size, body));
            Assert.All(Entries(trace), entry => Assert.InRange(entry.Granule + entry.Count, 1, 257));
        }
        catch (AccessTraceException)
        {
            return;
        }
    });

    private static IEnumerable<long> Granules((long Granule, int Count) read) => Enumerable.Range(0, read.Count).Select(i => read.Granule + i);

    private static (long Granule, int Count)[] Entries(AccessTrace trace) => [.. Enumerable.Range(0, trace.Count).Select(i => trace[i])];

    private static byte[] Make(uint version, uint count, long size, byte[] body)
    {
        byte[] bytes = new byte[24 + body.Length + 4];
        "NBDTRACE"u8.CopyTo(bytes);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(8), version);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(12), count);
        BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan(16), size);
        body.CopyTo(bytes, 24);

        // The base library's only CRC-32 that is public here: the trailer of a gzip file (RFC 1952).
        using var packed = new MemoryStream();
        using (var gzip = new System.IO.Compression.GZipStream(packed, System.IO.Compression.CompressionLevel.NoCompression, leaveOpen: true))
        {
            gzip.Write(bytes.AsSpan(..^4));
        }

        packed.ToArray().AsSpan()[^8..^4].CopyTo(bytes.AsSpan(bytes.Length - 4));
        return bytes;
    }
}
