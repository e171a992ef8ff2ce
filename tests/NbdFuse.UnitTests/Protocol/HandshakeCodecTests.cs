using System.Text;
using NbdFuse.Protocol;
using Xunit;

namespace NbdFuse.UnitTests.Protocol;

public class HandshakeCodecTests
{
    [Theory]
    [InlineData("NBDMAGICIHAVEOPT", NbdGreetingKind.Newstyle)]
    [InlineData("NBDMAGICIHAVEOPT\0\u0003more", NbdGreetingKind.Newstyle)]
    [InlineData("", NbdGreetingKind.Incomplete)]
    [InlineData("N", NbdGreetingKind.Incomplete)]
    [InlineData("NBDMAGIC", NbdGreetingKind.Incomplete)]
    [InlineData("NBDMAGICIHAVEOP", NbdGreetingKind.Incomplete)]
    [InlineData("NBDMAGICIHAVEOPX", NbdGreetingKind.NotNbd)]
    [InlineData("NBDMAGICX", NbdGreetingKind.NotNbd)]
    [InlineData("SSH-2.0-OpenSSH_10", NbdGreetingKind.NotNbd)]
    [InlineData("S", NbdGreetingKind.NotNbd)]
    public void First_bytes_tell_the_kind_of_peer(string bytes, NbdGreetingKind expected) =>
        Assert.Equal(expected, NbdNewstyleGreeting.Identify(Encoding.Latin1.GetBytes(bytes)));

    [Fact]
    public void Oldstyle_server_is_recognised_at_its_last_magic_byte_and_not_before()
    {
        byte[] greeting = GoldenFrame.Hex("4e42444d41474943 0000420281861253 0000000000100000 00000001");
        for (int length = 0; length < 16; length++)
        {
            Assert.Equal(NbdGreetingKind.Incomplete, NbdNewstyleGreeting.Identify(greeting.AsSpan(0, length)));
        }

        Assert.Equal(NbdGreetingKind.Oldstyle, NbdNewstyleGreeting.Identify(greeting.AsSpan(0, 16)));
        Assert.Equal(NbdGreetingKind.Oldstyle, NbdNewstyleGreeting.Identify(greeting));
        Assert.False(NbdNewstyleGreeting.TryRead(greeting, out _));
    }

    [Theory]
    [InlineData(0, 0u)]
    [InlineData(1, 1u)]
    [InlineData(2, 2u)]
    [InlineData(3, 3u)]
    [InlineData(0xffff, 3u)]
    [InlineData(0x8000, 0u)]
    public void Client_flags_never_hold_a_bit_that_was_not_offered(int offered, uint expected) =>
        Assert.Equal((NbdClientFlags)expected, new NbdNewstyleGreeting((NbdHandshakeFlags)offered).Answer());

    [Theory]
    [InlineData(0u, false)]
    [InlineData(3u, false)]
    [InlineData(4u, true)]
    [InlineData(0x80000001u, true)]
    public void Client_flags_that_must_drop_the_client_are_seen(uint flags, bool unknown) =>
        Assert.Equal(unknown, new NbdClientGreeting((NbdClientFlags)flags).HasUnknownFlags);

    [Theory]
    [InlineData(NbdOptionReplyType.Ack, false)]
    [InlineData(NbdOptionReplyType.Info, false)]
    [InlineData((NbdOptionReplyType)0x7fffffff, false)]
    [InlineData(NbdOptionReplyType.ErrUnsup, true)]
    [InlineData((NbdOptionReplyType)0x80000000, true)]
    [InlineData((NbdOptionReplyType)0xffffffff, true)]
    public void Option_reply_with_bit_31_is_an_error_also_when_unknown(NbdOptionReplyType type, bool error) =>
        Assert.Equal(error, new NbdOptionReplyHeader(NbdOption.Go, type, 0).IsError);

    [Theory]
    [InlineData("", "00000000 0000")]
    [InlineData("x", "00000001 78 0000")]
    public void Go_without_information_requests_is_the_name_and_a_zero(string name, string hex)
    {
        byte[] data = new byte[NbdOptionData.GoSize(name, 0)];
        Assert.Equal(data.Length, NbdOptionData.WriteGo(data, name, []));
        Assert.Equal(GoldenFrame.Hex(hex), data);
        Assert.True(NbdOptionData.TryReadGo(data, out string read, out NbdInfoType[] infos));
        Assert.Equal(name, read);
        Assert.Empty(infos);
    }

    [Theory]
    [InlineData("00000002 61 0000")] // the name's length lies by one
    [InlineData("ffffffff 61 0000")] // and by 4 GiB
    [InlineData("7fffffff 61 0000")]
    [InlineData("00000001 61 0001")] // an information request is missing
    [InlineData("00000001 61 ffff 0000")]
    [InlineData("00000001 61 0001 00")] // and half of one
    [InlineData("00000001 61 0000 00")] // bytes left over
    [InlineData("00000001 61 0001 0003 0000")]
    [InlineData("00000001 ff 0000")] // not UTF-8
    [InlineData("00000001 00 0000")] // NUL
    public void Go_that_is_malformed_is_not_read(string hex)
    {
        Assert.False(NbdOptionData.TryReadGo(GoldenFrame.Hex(hex), out string name, out NbdInfoType[] infos));
        Assert.Equal(string.Empty, name);
        Assert.Empty(infos);
    }

    [Fact]
    public void Name_of_4096_bytes_is_sent_and_one_of_4097_is_not()
    {
        string longest = new('n', NbdLimits.MaxStringBytes);
        byte[] data = new byte[NbdOptionData.GoSize(longest, 1)];
        NbdOptionData.WriteGo(data, longest, [NbdInfoType.BlockSize]);
        Assert.True(NbdOptionData.TryReadGo(data, out string read, out _));
        Assert.Equal(longest, read);

        Assert.Throws<ArgumentException>(() => NbdOptionData.GoSize(longest + "n", 1));
        Assert.Throws<ArgumentException>(() => NbdOptionData.ExportNameSize(longest[1..] + "ä"));
        byte[] tooLong = [0, 0, 0x10, 0x01, .. Encoding.ASCII.GetBytes(longest + "n"), 0, 0];
        Assert.False(NbdOptionData.TryReadGo(tooLong, out _, out _));
        Assert.False(NbdOptionData.TryReadExportName(Encoding.ASCII.GetBytes(longest + "n"), out _));
    }

    [Fact]
    public void Go_takes_as_many_information_requests_as_their_count_can_say()
    {
        var infos = new NbdInfoType[ushort.MaxValue];
        byte[] data = new byte[NbdOptionData.GoSize(string.Empty, infos.Length)];
        NbdOptionData.WriteGo(data, string.Empty, infos);
        Assert.True(NbdOptionData.TryReadGo(data, out _, out NbdInfoType[] read));
        Assert.Equal(infos.Length, read.Length);
        Assert.Throws<ArgumentOutOfRangeException>(() => NbdOptionData.GoSize(string.Empty, ushort.MaxValue + 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => NbdOptionData.GoSize(string.Empty, -1));
    }

    [Fact]
    public void Export_name_option_is_the_bare_name()
    {
        byte[] data = new byte[NbdOptionData.ExportNameSize("dä/x")];
        Assert.Equal(5, NbdOptionData.WriteExportName(data, "dä/x"));
        Assert.Equal("dä/x"u8, data);
        Assert.True(NbdOptionData.TryReadExportName(data, out string name));
        Assert.Equal("dä/x", name);
        Assert.True(NbdOptionData.TryReadExportName([], out name));
        Assert.Equal(string.Empty, name);
        Assert.False(NbdOptionData.TryReadExportName([0x61, 0x80], out _));
        Assert.Throws<ArgumentException>(() => NbdOptionData.WriteExportName(new byte[4], "dä/x"));
    }

    [Theory]
    [InlineData("00000000", "", null)]
    [InlineData("00000001 61", "a", null)]
    [InlineData("00000001 61 68690a1b", "a", "hi")]
    [InlineData("00000001 0a 68ff69", "\n", "h\ufffdi")] // a name stays as it must be asked for
    public void List_entry_is_read(string hex, string name, string? description)
    {
        Assert.True(NbdListEntry.TryRead(GoldenFrame.Hex(hex), out NbdListEntry entry));
        Assert.Equal(new NbdListEntry(name, description), entry);
    }

    [Theory]
    [InlineData("")]
    [InlineData("000000")]
    [InlineData("00000001")]
    [InlineData("00000003 6162")]
    [InlineData("ffffffff 6162")]
    [InlineData("00000001 ff")]
    [InlineData("00000001 00")]
    public void List_entry_that_is_malformed_is_not_read(string hex)
    {
        Assert.False(NbdListEntry.TryRead(GoldenFrame.Hex(hex), out NbdListEntry entry));
        Assert.Equal(default, entry);
    }

    [Fact]
    public void List_entry_of_the_longest_strings_fits_into_one_reply_and_longer_ones_are_not_read()
    {
        string longest = new('d', NbdLimits.MaxStringBytes);
        byte[] data = new byte[NbdListEntry.GetSize(longest, longest)];
        Assert.Equal(data.Length, NbdListEntry.Write(data, longest, longest));
        Assert.InRange(data.Length, 1, NbdLimits.MaxOptionReplyBytes);
        Assert.True(NbdListEntry.TryRead(data, out NbdListEntry entry));
        Assert.Equal(new NbdListEntry(longest, longest), entry);

        Assert.False(NbdListEntry.TryRead([.. data, (byte)'d'], out _));
        Assert.Throws<ArgumentException>(() => NbdListEntry.GetSize("x", longest + "d"));
        Assert.Throws<ArgumentException>(() => NbdListEntry.Write(new byte[data.Length - 1], longest, longest));
    }

    [Fact]
    public void Info_of_another_type_or_length_is_not_read()
    {
        byte[] export = GoldenFrame.Hex("0000 0000000040000000 0003");
        Assert.False(NbdInfoReply.TryReadExport([.. export, 0], out ulong size, out NbdTransmissionFlags flags));
        Assert.Equal((0UL, NbdTransmissionFlags.None), (size, flags));
        byte[] blockSize = GoldenFrame.Hex("0003 00000200 00001000 02000000");
        Assert.False(NbdInfoReply.TryReadBlockSize([.. blockSize, 0], out uint min, out uint preferred, out uint max));
        Assert.Equal((0u, 0u, 0u), (min, preferred, max));
        Assert.False(NbdInfoReply.TryReadName([0, 2, 0x61], out _));
        Assert.False(NbdInfoReply.TryReadName([0], out _));
        Assert.False(NbdInfoReply.TryReadDescription([0, 1, 0x61], out _));
        Assert.False(NbdInfoReply.TryReadType([0], out _));
    }

    [Fact]
    public void Info_of_an_unknown_type_has_a_readable_type()
    {
        Assert.True(NbdInfoReply.TryReadType([0x7f, 0xff, 1, 2, 3], out NbdInfoType type));
        Assert.Equal((NbdInfoType)0x7fff, type);
    }

    [Fact]
    public void Info_name_is_read_strictly_and_description_leniently()
    {
        byte[] name = new byte[NbdInfoReply.TextSize("nä")];
        Assert.Equal(5, NbdInfoReply.WriteName(name, "nä"));
        Assert.Equal(GoldenFrame.Hex("0001 6ec3a4"), name);
        Assert.True(NbdInfoReply.TryReadName(name, out string readName));
        Assert.Equal("nä", readName);
        Assert.False(NbdInfoReply.TryReadName([0, 1, 0xff], out readName));
        Assert.Equal(string.Empty, readName);

        byte[] description = new byte[NbdInfoReply.TextSize("dä")];
        Assert.Equal(5, NbdInfoReply.WriteDescription(description, "dä"));
        Assert.Equal(GoldenFrame.Hex("0002 64c3a4"), description);
        Assert.True(NbdInfoReply.TryReadDescription(description, out string readDescription));
        Assert.Equal("dä", readDescription);
        Assert.True(NbdInfoReply.TryReadDescription([0, 2, 0xff, 0x1b, 0x61], out readDescription));
        Assert.Equal("\ufffda", readDescription);
    }

    [Fact]
    public void Info_texts_are_at_most_4096_bytes_long()
    {
        byte[] text = [0, 1, .. Enumerable.Repeat((byte)'t', NbdLimits.MaxStringBytes)];
        Assert.True(NbdInfoReply.TryReadName(text, out _));
        Assert.False(NbdInfoReply.TryReadName([.. text, (byte)'t'], out _));
        text[1] = 2;
        Assert.True(NbdInfoReply.TryReadDescription(text, out string description));
        Assert.Equal(NbdLimits.MaxStringBytes, description.Length);
        Assert.False(NbdInfoReply.TryReadDescription([.. text, (byte)'t'], out _));
        Assert.Throws<ArgumentException>(() => NbdInfoReply.TextSize(new string('t', NbdLimits.MaxStringBytes + 1)));
        Assert.Throws<ArgumentException>(() => NbdInfoReply.WriteName(new byte[3], "nä"));
    }

    [Fact]
    public void Go_and_list_entries_survive_the_round_trip() => SeededRounds.Run(2_000, random =>
    {
        string name = random.NextText(30);
        string description = NbdText.Sanitize(random.NextText(30), 1000);
        NbdInfoType[] infos = [.. Enumerable.Range(0, random.Next(6)).Select(_ => (NbdInfoType)random.NextUInt16())];

        byte[] go = new byte[NbdOptionData.GoSize(name, infos.Length)];
        Assert.Equal(go.Length, NbdOptionData.WriteGo(go, name, infos));
        Assert.True(NbdOptionData.TryReadGo(go, out string readName, out NbdInfoType[] readInfos));
        Assert.Equal(name, readName);
        Assert.Equal(infos, readInfos);
        for (int length = 0; length < go.Length; length++)
        {
            Assert.False(NbdOptionData.TryReadGo(go.AsSpan(0, length), out _, out _));
        }

        byte[] entry = new byte[NbdListEntry.GetSize(name, description)];
        Assert.Equal(entry.Length, NbdListEntry.Write(entry, name, description));
        Assert.True(NbdListEntry.TryRead(entry, out NbdListEntry read));
        Assert.Equal(new NbdListEntry(name, description.Length == 0 ? null : description), read);
    });
}
