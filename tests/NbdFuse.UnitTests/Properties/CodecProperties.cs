using FsCheck;
using FsCheck.Fluent;
using NbdFuse.Protocol;
using Xunit;

namespace NbdFuse.UnitTests.Properties;

/// <summary>What is written is read back, whatever it is, and no cut of it is taken for the whole.</summary>
public sealed class CodecProperties
{
    [Fact]
    public void Requests_survive_the_wire_and_no_part_of_one_is_a_request()
    {
        Prop.ForAll<ulong, ulong, uint>((cookie, offset, length) =>
        {
            byte[] wire = new byte[NbdRequestHeader.Size];
            NbdRequestHeader.Write(wire, NbdCommandFlags.Fua, NbdCommand.Write, cookie, offset, length);
            return NbdRequestHeader.TryRead(wire, out NbdRequestHeader read)
                && read == new NbdRequestHeader(NbdCommandFlags.Fua, NbdCommand.Write, cookie, offset, length)
                && Enumerable.Range(0, wire.Length).All(cut => !NbdRequestHeader.TryRead(wire.AsSpan(..cut), out _));
        }).QuickCheckThrowOnFailure();
    }

    [Fact]
    public void Export_names_survive_a_uri()
    {
        Prop.ForAll<NonNull<string>>(text =>
        {
            // Neither NUL nor half of a surrogate pair can be in a name.
            string name = string.Concat(text.Get.EnumerateRunes().Where(rune => rune.Value is not (0 or 0xfffd)));
            NbdUri uri = NbdUri.Parse($"nbd://host/{Uri.EscapeDataString(name)}");
            return uri.ExportName == name && NbdUri.Parse(uri.ToString()).ExportName == name;
        }).QuickCheckThrowOnFailure();
    }

    [Fact]
    public void Sanitized_text_never_holds_a_control_character()
    {
        Prop.ForAll<byte[], byte>((bytes, limit) =>
        {
            string text = NbdText.Sanitize(bytes, limit);
            return text.Length <= limit && !text.Any(char.IsControl);
        }).QuickCheckThrowOnFailure();
    }
}
