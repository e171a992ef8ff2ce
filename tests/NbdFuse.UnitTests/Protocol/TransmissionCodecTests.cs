using NbdFuse.Protocol;
using Xunit;

namespace NbdFuse.UnitTests.Protocol;

public class TransmissionCodecTests
{
    [Fact]
    public void Headers_survive_the_round_trip() => SeededRounds.Run(5_000, random =>
    {
        Span<byte> wire = stackalloc byte[NbdRequestHeader.Size];
        var request = new NbdRequestHeader(
            (NbdCommandFlags)random.NextUInt16(),
            (NbdCommand)random.NextUInt16(),
            random.NextUInt64(),
            random.NextUInt64(),
            random.NextUInt32());
        NbdRequestHeader.Write(wire, request.Flags, request.Command, request.Cookie, request.Offset, request.Length);
        Assert.True(NbdRequestHeader.TryRead(wire, out NbdRequestHeader readRequest));
        Assert.Equal(request, readRequest);

        var simple = new NbdSimpleReplyHeader(random.NextUInt32(), random.NextUInt64());
        NbdSimpleReplyHeader.Write(wire, simple.Error, simple.Cookie);
        Assert.True(NbdSimpleReplyHeader.TryRead(wire, out NbdSimpleReplyHeader readSimple));
        Assert.Equal(simple, readSimple);

        var structured = new NbdStructuredReplyHeader(
            (NbdReplyFlags)random.NextUInt16(),
            (NbdReplyType)random.NextUInt16(),
            random.NextUInt64(),
            random.NextUInt32());
        NbdStructuredReplyHeader.Write(wire, structured.Flags, structured.Type, structured.Cookie, structured.Length);
        Assert.True(NbdStructuredReplyHeader.TryRead(wire, out NbdStructuredReplyHeader readStructured));
        Assert.Equal(structured, readStructured);
        Assert.False(NbdSimpleReplyHeader.TryRead(wire, out _));
        Assert.False(NbdRequestHeader.TryRead(wire, out _));
    });

    [Theory]
    [InlineData(NbdReplyType.None, false)]
    [InlineData(NbdReplyType.BlockStatus, false)]
    [InlineData((NbdReplyType)0x7fff, false)]
    [InlineData(NbdReplyType.Error, true)]
    [InlineData((NbdReplyType)0x8000, true)]
    [InlineData((NbdReplyType)0xffff, true)]
    public void Chunk_with_bit_15_is_an_error_also_when_unknown(NbdReplyType type, bool error) =>
        Assert.Equal(error, new NbdStructuredReplyHeader(NbdReplyFlags.None, type, 0, 0).IsError);

    [Theory]
    [InlineData(0, false)]
    [InlineData(1, true)]
    [InlineData(0xfffe, false)]
    [InlineData(0xffff, true)]
    public void Done_is_seen_among_unknown_reply_flags(int flags, bool done) =>
        Assert.Equal(done, new NbdStructuredReplyHeader((NbdReplyFlags)flags, NbdReplyType.None, 0, 0).IsDone);

    [Theory]
    [InlineData("00000005 0001")] // text longer than the chunk
    [InlineData("00000005 ffff 61")]
    [InlineData("00000005 00")]
    public void Error_chunk_whose_text_does_not_fit_is_not_read(string hex)
    {
        byte[] payload = GoldenFrame.Hex(hex);
        Assert.False(NbdErrorChunk.TryRead(NbdReplyType.Error, payload, out _));
        Assert.False(NbdErrorChunk.TryRead(NbdReplyType.ErrorOffset, payload, out _));
        Assert.False(NbdErrorChunk.TryRead((NbdReplyType)0x8123, payload, out _));
    }

    [Fact]
    public void Error_chunk_of_an_unknown_type_gives_error_and_text_and_ignores_the_rest()
    {
        byte[] payload = GoldenFrame.Hex("00000005 0002 6869 0102030405060708");
        Assert.True(NbdErrorChunk.TryRead((NbdReplyType)0x8123, payload, out NbdErrorChunk chunk));
        Assert.Equal(5u, chunk.Error);
        Assert.Equal("hi"u8, chunk.Message);
        Assert.Null(chunk.Offset);
    }

    [Fact]
    public void Error_offset_chunk_without_its_whole_offset_is_not_read()
    {
        byte[] payload = GoldenFrame.Hex("00000005 0002 6869 01020304050607");
        Assert.False(NbdErrorChunk.TryRead(NbdReplyType.ErrorOffset, payload, out _));
    }

    [Fact]
    public void Error_chunk_with_error_zero_is_left_to_the_caller()
    {
        Assert.True(NbdErrorChunk.TryRead(NbdReplyType.Error, new byte[6], out NbdErrorChunk chunk));
        Assert.Equal(0u, chunk.Error);
        Assert.True(chunk.Message.IsEmpty);
    }

    [Fact]
    public void Error_text_is_at_most_4096_bytes_long_and_its_chunk_within_the_limit()
    {
        byte[] text = new byte[NbdLimits.MaxErrorMessageBytes];
        int size = NbdErrorChunk.GetSize(text.Length, withOffset: true);
        Assert.Equal(6 + 4096 + 8, size);
        Assert.InRange(size, 1, NbdLimits.MaxErrorChunkBytes);
        byte[] wire = new byte[size];
        Assert.Equal(size, NbdErrorChunk.WriteErrorOffset(wire, 5, text, 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => NbdErrorChunk.GetSize(text.Length + 1, withOffset: false));
        Assert.Throws<ArgumentOutOfRangeException>(
            () => NbdErrorChunk.WriteError(new byte[10_000], 5, new byte[text.Length + 1]));
    }

    [Fact]
    public void Error_chunks_survive_the_round_trip() => SeededRounds.Run(2_000, random =>
    {
        uint error = random.NextUInt32();
        ulong offset = random.NextUInt64();
        byte[] text = random.NextByteArray(50);
        byte[] wire = new byte[NbdErrorChunk.GetSize(text.Length, withOffset: true)];
        Assert.Equal(wire.Length, NbdErrorChunk.WriteErrorOffset(wire, error, text, offset));
        Assert.True(NbdErrorChunk.TryRead(NbdReplyType.ErrorOffset, wire, out NbdErrorChunk chunk));
        Assert.Equal(error, chunk.Error);
        Assert.Equal(text, chunk.Message);
        Assert.Equal(offset, chunk.Offset);
        for (int length = 0; length < wire.Length; length++)
        {
            Assert.False(NbdErrorChunk.TryRead(NbdReplyType.ErrorOffset, wire.AsSpan(0, length), out _));
        }
    });
}
