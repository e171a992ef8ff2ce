using System.Text;
using NbdFuse.Boot;
using NbdFuse.UnitTests.Protocol;
using Xunit;

namespace NbdFuse.UnitTests.Boot;

/// <summary>Whatever stands on the command line: an answer or a message, never a crash, never a line break on the console.</summary>
public sealed class BootArgumentFuzzTests
{
    private static readonly string[] Pieces =
    [
        "nbdroot=", "nbdfuse=", "root=", "netroot=", "ip=", "nbd_host=", "nbd_name=", "nbd:", "nbd://", "nbds://", "dhcp", "10.0.0.1",
        "[", "]", "::1", ":", ",", "/", "%", "10809", "0", "99999999999", "export", "/dev/nbd0p", "nbd0", "PARTUUID=", "LABEL=", "\"", " ",
        "--", "\u001b[2J", "\n", "\0", "é", "\ud800", "BOOTIF=", "rootflags=", "nbdfuse.driver=", "255.255.255.0", "eth0", "*", "\\", "=",
    ];

    [Fact]
    public void Random_words_give_an_answer_or_a_message() => SeededRounds.Run(20_000, random =>
    {
        var text = new StringBuilder();
        int count = random.Next(1, 12);
        for (int i = 0; i < count; i++)
        {
            text.Append(random.Next(8) == 0 ? ((char)random.Next(1, 0x250)).ToString() : Pieces[random.Next(Pieces.Length)]);
        }

        BootArguments parsed = BootArguments.Parse(text.ToString());
        Assert.All(parsed.Errors.Concat(parsed.Notes), line => Assert.DoesNotContain(line, char.IsControl));
        if (parsed.Export is { } wish)
        {
            Resolve(wish, NetworkFacts.None);
            Resolve(wish, new NetworkFacts { NextServer = "10.0.0.9", RootPath = text.ToString() });
        }
    });

    [Fact]
    public void What_was_read_is_read_the_same_again() => SeededRounds.Run(2_000, random =>
    {
        string host = random.Next(3) switch { 0 => "10.1.2.3", 1 => "[fd00::1]", _ => "boot.example" };
        string port = random.Next(2) == 0 ? string.Empty : $":{random.Next(1, 65536)}";
        string export = new([.. Enumerable.Range(0, random.Next(0, 20)).Select(_ => (char)random.Next('#', 0x7f))]);

        ExportAddress first = BootArguments.Parse($"nbdroot=\"{host}{port}/{export}\"").Export!.Resolve(NetworkFacts.None);
        ExportAddress second = BootArguments.Parse($"nbdfuse={first.Uri}").Export!.Resolve(NetworkFacts.None);

        Assert.Equal(export, first.Uri.ExportName);
        Assert.Equal(first.Uri.ToString(), second.Uri.ToString());
    });

    private static void Resolve(ExportWish wish, NetworkFacts facts)
    {
        try
        {
            ExportAddress address = wish.Resolve(facts);
            Assert.NotNull(address.Uri);
            Assert.All(address.Notes, line => Assert.DoesNotContain(line, char.IsControl));
        }
        catch (BootArgumentException e)
        {
            Assert.DoesNotContain(e.Message, char.IsControl);
        }
    }
}
