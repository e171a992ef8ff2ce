using NbdFuse.Protocol;
using Xunit;

namespace NbdFuse.UnitTests.Protocol;

public class ExceptionTests
{
    [Fact]
    public void Protocol_error_names_what_happened_and_the_rule()
    {
        var e = new NbdProtocolException("an ACK has no data", "NBD_REP_ACK with 3 bytes");
        Assert.IsAssignableFrom<NbdException>(e);
        Assert.Equal("an ACK has no data", e.Rule);
        Assert.Contains("an ACK has no data", e.Message, StringComparison.Ordinal);
        Assert.Contains("NBD_REP_ACK with 3 bytes", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Server_error_shows_code_export_and_the_servers_text_without_controls()
    {
        var e = new NbdServerErrorException(
            NbdOptionReplyType.ErrUnknown, "no \u001b[31msuch\nthing", NbdOption.Go, "di\nsk");
        Assert.Equal(
            "the server refused NBD_OPT_GO of export \"disk\": it has no such export; list the exports to see their names "
            + "(NBD_REP_ERR_UNKNOWN); the server says: no [31msuchthing",
            e.Message);
        Assert.Equal("no [31msuchthing", e.ServerText);
        Assert.Equal(NbdOptionReplyType.ErrUnknown, e.Code);
        Assert.Equal(NbdOption.Go, e.Option);
        Assert.Equal("di\nsk", e.ExportName);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("\n")]
    public void Server_error_without_text_does_not_pretend_there_was_one(string? text)
    {
        var e = new NbdServerErrorException(NbdOptionReplyType.ErrPolicy, text, NbdOption.List);
        Assert.Null(e.ServerText);
        Assert.EndsWith("(NBD_REP_ERR_POLICY)", e.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("of export", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Server_error_has_a_text_of_its_own_for_each_code()
    {
        NbdOptionReplyType[] errors =
        [
            .. Enum.GetValues<NbdOptionReplyType>().Where(t => (uint)t >= 0x80000000),
            (NbdOptionReplyType)0x80000063,
        ];
        string[] texts = [.. errors.Select(c => new NbdServerErrorException(c, null).Message.Split('(')[0])];
        Assert.Equal(11, texts.Length);
        Assert.Distinct(texts);
    }

    [Fact]
    public void Server_error_with_endless_text_stays_one_readable_line()
    {
        var e = new NbdServerErrorException(NbdOptionReplyType.ErrPolicy, new string('x', 4096));
        Assert.InRange(e.Message.Length, 1, 1000);
    }
}
