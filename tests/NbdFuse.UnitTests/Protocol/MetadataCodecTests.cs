using NbdFuse.Protocol;
using Xunit;

namespace NbdFuse.UnitTests.Protocol;

/// <summary>Metadata contexts, block status and extended headers: what is read, and what is not.</summary>
public sealed class MetadataCodecTests
{
    [Theory]
    [InlineData(0, false, false)]
    [InlineData(4, false, false)] // a context and no extent
    [InlineData(8, false, false)]
    [InlineData(12, false, true)]
    [InlineData(13, false, false)]
    [InlineData(20, false, true)]
    [InlineData(4 + (8 << 20), false, true)]
    [InlineData(4 + (8 << 20) + 8, false, false)]
    [InlineData(8, true, false)]
    [InlineData(23, true, false)]
    [InlineData(24, true, true)]
    [InlineData(12, true, false)]
    [InlineData(8 + (16 << 20), true, true)]
    [InlineData(8 + (16 << 20) + 16, true, false)]
    [InlineData(long.MaxValue, true, false)]
    public void Rule63_Block_status_has_whole_extents_and_no_more_than_a_million(long length, bool extended, bool valid) =>
        Assert.Equal(valid, NbdBlockStatusChunk.IsValidLength((ulong)length, extended));

    [Theory]
    [InlineData("00000001 00000000 0000000000001000 0000000000000000")]
    [InlineData("00000001 00000002 0000000000001000 0000000000000000")]
    [InlineData("00000001 ffffffff 0000000000001000 0000000000000000")]
    public void Rule92_Extended_block_status_whose_count_lies_is_not_read(string hex) =>
        Assert.False(NbdBlockStatusChunk.TryRead(GoldenFrame.Hex(hex), extended: true, out _));

    [Fact]
    public void Number_that_does_not_fit_a_compact_extent_is_not_written()
    {
        byte[] wire = new byte[12];
        Assert.Throws<OverflowException>(() => NbdBlockStatusChunk.Write(wire, 1, [new(1UL << 32, 0)], extended: false));
        Assert.Throws<OverflowException>(() => NbdBlockStatusChunk.Write(wire, 1, [new(1, 1UL << 32)], extended: false));
        Assert.Throws<ArgumentOutOfRangeException>(() => NbdBlockStatusChunk.Write(wire, 1, [], extended: false));
    }

    [Fact]
    public void Extents_and_headers_survive_the_round_trip() => SeededRounds.Run(2_000, random =>
    {
        bool extended = random.Next(2) == 0;
        ulong mask = extended ? ulong.MaxValue : uint.MaxValue;
        NbdBlockExtent[] extents =
            [.. Enumerable.Range(0, 1 + random.Next(5)).Select(_ => new NbdBlockExtent(random.NextUInt64() & mask, random.NextUInt64() & mask))];
        byte[] wire = new byte[NbdBlockStatusChunk.GetSize(extents.Length, extended)];
        Assert.Equal(wire.Length, NbdBlockStatusChunk.Write(wire, 9, extents, extended));
        Assert.True(NbdBlockStatusChunk.TryRead(wire, extended, out NbdBlockStatusChunk chunk));
        for (int i = 0; i < extents.Length; i++)
        {
            Assert.Equal(extents[i], chunk[i]);
        }

        for (int length = 0; length < wire.Length; length++)
        {
            bool isShorterReply = !extended && length > 4 && (length - 4) % 8 == 0;
            Assert.Equal(isShorterReply, NbdBlockStatusChunk.TryRead(wire.AsSpan(0, length), extended, out _));
        }

        var request = new NbdExtendedRequestHeader(
            (NbdCommandFlags)random.NextUInt16(), (NbdCommand)random.NextUInt16(), random.NextUInt64(), random.NextUInt64(), random.NextUInt64());
        byte[] header = new byte[NbdExtendedRequestHeader.Size];
        NbdExtendedRequestHeader.Write(header, request.Flags, request.Command, request.Cookie, request.Offset, request.Length);
        Assert.True(NbdExtendedRequestHeader.TryRead(header, out NbdExtendedRequestHeader readRequest));
        Assert.Equal(request, readRequest);
        Assert.False(NbdExtendedReplyHeader.TryRead(header, out _));
        Assert.False(NbdRequestHeader.TryRead(header, out _));
    });

    [Theory]
    [InlineData("00000001")] // no count
    [InlineData("00000001 61 000000")]
    [InlineData("00000002 61 00000000")] // the name's length lies
    [InlineData("ffffffff 61 00000000")]
    [InlineData("00000001 61 00000001")] // a query is missing
    [InlineData("00000001 61 ffffffff 00000001 61")] // a count that would allocate 32 GiB
    [InlineData("00000001 61 00000001 00000002 61")]
    [InlineData("00000001 61 00000001 ffffffff 61")]
    [InlineData("00000001 61 00000000 00")] // bytes left over
    [InlineData("00000001 ff 00000000")] // not UTF-8
    [InlineData("00000001 61 00000001 00000001 00")] // NUL
    public void Query_that_is_malformed_is_not_read(string hex)
    {
        Assert.False(NbdMetaContextQuery.TryRead(GoldenFrame.Hex(hex), out string name, out string[] queries));
        Assert.Equal(string.Empty, name);
        Assert.Empty(queries);
    }

    [Theory]
    [InlineData("")]
    [InlineData("000000")]
    [InlineData("00000001 ff")]
    [InlineData("00000001 6100")]
    public void Context_that_is_malformed_is_not_read(string hex) =>
        Assert.False(NbdMetaContext.TryRead(GoldenFrame.Hex(hex), out _));

    [Fact]
    public void Rule02_Strings_of_queries_and_contexts_are_at_most_4096_bytes_long()
    {
        string longest = "x:" + new string('y', NbdLimits.MaxStringBytes - 2);
        byte[] data = new byte[NbdMetaContextQuery.GetSize("e", [longest])];
        NbdMetaContextQuery.Write(data, "e", [longest]);
        Assert.True(NbdMetaContextQuery.TryRead(data, out _, out string[] queries));
        Assert.Equal([longest], queries);
        Assert.Throws<ArgumentException>(() => NbdMetaContextQuery.GetSize("e", [longest + "y"]));
        Assert.Throws<ArgumentException>(() => NbdMetaContextQuery.Write(new byte[data.Length - 1], "e", [longest]));

        byte[] context = new byte[NbdMetaContext.GetSize(longest)];
        NbdMetaContext.Write(context, 3, longest);
        Assert.True(NbdMetaContext.TryRead(context, out NbdMetaContext read));
        Assert.Equal(new NbdMetaContext(3, longest), read);
        Assert.False(NbdMetaContext.TryRead([.. context, (byte)'y'], out _));
        Assert.Throws<ArgumentException>(() => NbdMetaContext.Write(new byte[3], 3, "x:y"));
    }

    [Theory]
    [InlineData("base:allocation", true)]
    [InlineData("qemu:dirty-bitmap:b 0", true)]
    [InlineData("x-ü:", true)]
    [InlineData("", false)]
    [InlineData(":leaf", false)]
    [InlineData("leaf", false)]
    [InlineData("na me:leaf", false)]
    [InlineData("na\u0001me:leaf", false)]
    [InlineData("x:\0", false)]
    public void Name_of_a_context_has_a_namespace(string name, bool valid) => Assert.Equal(valid, NbdMetaContextNames.IsValid(name));

    [Fact]
    public void Rule81_Extents_are_checked_one_by_one()
    {
        Assert.Null(Check(4096, false, new(1024, 0), new(1024, 0), new(1UL << 40, 3)));
        Assert.Contains("nonzero", Check(4096, false, new(1024, 0), new(0, 0)));
        Assert.Contains("all extents but the last", Check(4096, false, new(4096, 0), new(1, 0)));
        Assert.Contains("all extents but the last", Check(4096, false, new(5000, 0), new(1, 0)));
        Assert.Null(Check(4096, true, new NbdBlockExtent(4096, 0)));
        Assert.Contains("exactly one", Check(4096, true, new(512, 0), new(512, 0)));
        Assert.Contains("must not exceed", Check(4096, true, new NbdBlockExtent(4097, 0)));
        Assert.Contains("upper 32 bits", Check(4096, false, new NbdBlockExtent(512, 1UL << 32)));
        Assert.Null(Check(4096, false, new(512, 0), new(ulong.MaxValue, 0)));

        var wide = default(NbdBlockStatusCheck);
        Assert.Null(wide.Add(new(512, 1UL << 63), 4096, one: false, narrow: false));
        Assert.Equal(512UL, wide.Covered);
    }

    private static string? Check(ulong requested, bool one, params NbdBlockExtent[] extents)
    {
        var check = default(NbdBlockStatusCheck);
        return extents.Select(extent => check.Add(extent, requested, one, narrow: true)).FirstOrDefault(rule => rule is not null);
    }
}
