using System.Globalization;
using NbdFuse.Protocol;
using Xunit;

namespace NbdFuse.UnitTests.Protocol;

/// <summary>The numbers of the specification, typed in a second time and from its text (doc/proto.md).</summary>
public class EnumValueTests
{
    [Fact]
    public void Magic_numbers_equal_the_specification()
    {
        Assert.Equal("NBDMAGIC"u8, BigEndian(NbdMagic.Init));
        Assert.Equal("IHAVEOPT"u8, BigEndian(NbdMagic.Option));
        Assert.Equal(0x0000_4202_8186_1253UL, NbdMagic.OldStyle);
        Assert.Equal(0x0003_e889_0455_65a9UL, NbdMagic.OptionReply);
        Assert.Equal(0x25609513u, NbdMagic.Request);
        Assert.Equal(0x67446698u, NbdMagic.SimpleReply);
        Assert.Equal(0x668e33efu, NbdMagic.StructuredReply);
        Assert.Equal(0x21e41c71u, NbdMagic.ExtendedRequest);
        Assert.Equal(0x6e8a278cu, NbdMagic.ExtendedReply);
    }

    [Fact]
    public void Handshake_flags_equal_the_specification() =>
        AssertValues<NbdHandshakeFlags>("None=0 FixedNewstyle=1 NoZeroes=2");

    [Fact]
    public void Client_flags_equal_the_specification() =>
        AssertValues<NbdClientFlags>("None=0 FixedNewstyle=1 NoZeroes=2");

    [Fact]
    public void Options_equal_the_specification() =>
        AssertValues<NbdOption>(
            "ExportName=1 Abort=2 List=3 PeekExport=4 StartTls=5 Info=6 Go=7 StructuredReply=8 ListMetaContext=9 "
            + "SetMetaContext=10 ExtendedHeaders=11");

    [Fact]
    public void Option_replies_equal_the_specification() =>
        AssertValues<NbdOptionReplyType>(
            "Ack=1 Server=2 Info=3 MetaContext=4 ErrUnsup=2147483649 ErrPolicy=2147483650 ErrInvalid=2147483651 "
            + "ErrPlatform=2147483652 ErrTlsReqd=2147483653 ErrUnknown=2147483654 ErrShutdown=2147483655 "
            + "ErrBlockSizeReqd=2147483656 ErrTooBig=2147483657 ErrExtHeaderReqd=2147483658");

    [Fact]
    public void Info_types_equal_the_specification() =>
        AssertValues<NbdInfoType>("Export=0 Name=1 Description=2 BlockSize=3");

    [Fact]
    public void Transmission_flags_equal_the_specification() =>
        AssertValues<NbdTransmissionFlags>(
            "None=0 HasFlags=1 ReadOnly=2 SendFlush=4 SendFua=8 Rotational=16 SendTrim=32 SendWriteZeroes=64 SendDf=128 "
            + "CanMultiConn=256 SendResize=512 SendCache=1024 SendFastZero=2048 BlockStatusPayload=4096");

    [Fact]
    public void Commands_equal_the_specification() =>
        AssertValues<NbdCommand>(
            "Read=0 Write=1 Disc=2 Flush=3 Trim=4 Cache=5 WriteZeroes=6 BlockStatus=7 Resize=8");

    [Fact]
    public void Command_flags_equal_the_specification() =>
        AssertValues<NbdCommandFlags>("None=0 Fua=1 NoHole=2 Df=4 ReqOne=8 FastZero=16 PayloadLen=32");

    [Fact]
    public void Reply_types_equal_the_specification() =>
        AssertValues<NbdReplyType>(
            "None=0 OffsetData=1 OffsetHole=2 BlockStatus=5 BlockStatusExt=6 Error=32769 ErrorOffset=32770");

    [Fact]
    public void Reply_flags_equal_the_specification() => AssertValues<NbdReplyFlags>("None=0 Done=1");

    [Fact]
    public void Errors_equal_the_specification() =>
        AssertValues<NbdError>("None=0 Perm=1 Io=5 NoMem=12 Inval=22 NoSpc=28 Overflow=75 NotSup=95 Shutdown=108");

    [Theory]
    [InlineData(0u, 0u)]
    [InlineData(1u, 1u)]
    [InlineData(5u, 5u)]
    [InlineData(12u, 12u)]
    [InlineData(22u, 22u)]
    [InlineData(28u, 28u)]
    [InlineData(75u, 75u)]
    [InlineData(95u, 95u)]
    [InlineData(108u, 108u)]
    [InlineData(2u, 22u)]
    [InlineData(30u, 22u)]
    [InlineData(0x80000005u, 22u)]
    [InlineData(uint.MaxValue, 22u)]
    public void Error_from_the_wire_is_one_of_the_list_or_EINVAL(uint wire, uint expected) =>
        Assert.Equal(expected, NbdErrors.Normalize(wire));

    [Theory]
    [InlineData(NbdOption.ExportName, "NBD_OPT_EXPORT_NAME")]
    [InlineData(NbdOption.Go, "NBD_OPT_GO")]
    [InlineData((NbdOption)77, "option 77")]
    public void Option_has_the_name_of_the_specification(NbdOption option, string name) =>
        Assert.Equal(name, NbdNames.Of(option));

    [Fact]
    public void Every_listed_option_and_reply_has_a_name()
    {
        Assert.All(Enum.GetValues<NbdOption>(), o => Assert.StartsWith("NBD_OPT_", NbdNames.Of(o), StringComparison.Ordinal));
        Assert.All(
            Enum.GetValues<NbdOptionReplyType>(),
            r => Assert.StartsWith("NBD_REP_", NbdNames.Of(r), StringComparison.Ordinal));
        Assert.Equal("reply type 0x80000063", NbdNames.Of((NbdOptionReplyType)0x80000063));
    }

    // The whole list in one line: a value that is missing, extra or moved fails alike.
    private static void AssertValues<T>(string expected)
        where T : struct, Enum
    {
        IEnumerable<string> actual = Enum.GetValues<T>()
            .Select(v => $"{v}={Convert.ToUInt64(v, CultureInfo.InvariantCulture)}");
        Assert.Equal(expected, string.Join(' ', actual));
    }

    private static ReadOnlySpan<byte> BigEndian(ulong value)
    {
        byte[] bytes = BitConverter.GetBytes(value);
        Array.Reverse(bytes);
        return bytes;
    }
}
