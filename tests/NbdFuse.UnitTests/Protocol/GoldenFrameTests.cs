using NbdFuse.Protocol;
using Xunit;

namespace NbdFuse.UnitTests.Protocol;

public class GoldenFrameTests
{
    public static TheoryData<string> Names => new(GoldenFrame.All.Select(f => f.Name));

    [Theory]
    [MemberData(nameof(Names))]
    public void Frame_is_written_byte_for_byte_and_nothing_behind_it(string name)
    {
        GoldenFrame frame = Find(name);
        byte[] destination = new byte[frame.Bytes.Length + 8];
        destination.AsSpan().Fill(0xee);

        frame.Write(destination);

        Assert.Equal(frame.Bytes, destination[..frame.Bytes.Length]);
        Assert.All(destination[frame.Bytes.Length..], b => Assert.Equal(0xee, b));
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Frame_is_read_back(string name) => Assert.True(Find(name).Reads(Find(name).Bytes));

    [Theory]
    [MemberData(nameof(Names))]
    public void Frame_that_ends_early_is_not_read(string name)
    {
        GoldenFrame frame = Find(name);
        for (int length = 0; length < frame.Bytes.Length; length++)
        {
            Assert.False(frame.Reads(frame.Bytes.AsSpan(0, length)), $"read from {length} bytes");
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Frame_is_written_whole_or_not_at_all(string name)
    {
        GoldenFrame frame = Find(name);
        for (int length = 0; length < frame.Bytes.Length; length++)
        {
            byte[] destination = new byte[length];
            Assert.ThrowsAny<ArgumentException>(() => frame.Write(destination));
            Assert.All(destination, b => Assert.Equal(0, b));
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Frame_with_one_wrong_bit_in_its_magic_is_not_read(string name)
    {
        GoldenFrame frame = Find(name);
        for (int bit = 0; bit < frame.MagicBytes * 8; bit++)
        {
            byte[] bytes = [.. frame.Bytes];
            bytes[bit / 8] ^= (byte)(1 << (bit % 8));
            Assert.False(frame.Reads(bytes), $"read with bit {bit} wrong");
        }
    }

    [Fact]
    public void Declared_sizes_are_the_sizes_of_the_frames()
    {
        Assert.Equal(28, NbdRequestHeader.Size);
        Assert.Equal(32, NbdExtendedRequestHeader.Size);
        Assert.Equal(32, NbdExtendedReplyHeader.Size);
        Assert.Equal(16, NbdSimpleReplyHeader.Size);
        Assert.Equal(20, NbdStructuredReplyHeader.Size);
        Assert.Equal(16, NbdOptionHeader.Size);
        Assert.Equal(20, NbdOptionReplyHeader.Size);
        Assert.Equal(18, NbdNewstyleGreeting.Size);
        Assert.Equal(4, NbdClientGreeting.Size);
        Assert.Equal(10, NbdExportNameReply.Size);
        Assert.Equal(134, NbdExportNameReply.SizeWithZeroes);
        Assert.Equal(8, NbdOffsetDataChunk.Size);
        Assert.Equal(12, NbdOffsetHoleChunk.Size);
        Assert.Equal(6, NbdErrorChunk.HeaderSize);
        Assert.Equal(12, NbdInfoReply.ExportBytes);
        Assert.Equal(14, NbdInfoReply.BlockSizeBytes);
    }

    [Fact]
    public void Reader_of_any_frame_survives_random_bytes() => SeededRounds.Run(20_000, random =>
    {
        byte[] bytes = random.NextByteArray(40);
        foreach (GoldenFrame frame in GoldenFrame.All)
        {
            _ = frame.Reads(bytes);
        }
    });

    [Fact]
    public void Reader_of_any_frame_survives_a_mutated_frame() => SeededRounds.Run(5_000, random =>
    {
        foreach (GoldenFrame frame in GoldenFrame.All)
        {
            byte[] bytes = [.. frame.Bytes, .. random.NextByteArray(4)];
            bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
            _ = frame.Reads(bytes);
        }
    });

    private static GoldenFrame Find(string name) => GoldenFrame.All.Single(f => f.Name == name);
}
