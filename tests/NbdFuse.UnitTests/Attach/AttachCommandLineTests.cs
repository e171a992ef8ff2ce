using NbdFuse.Cli;
using Xunit;

namespace NbdFuse.UnitTests.Attach;

/// <summary>Command lines of attach, detach and status that are refused before anything is touched.</summary>
public sealed class AttachCommandLineTests
{
    [Theory]
    [InlineData("no driver 'loop'", "attach", "--driver=loop", "nbd://localhost")]
    [InlineData("/dev/loop7", "attach", "--device=/dev/sda", "nbd://localhost")]
    [InlineData("no device of the driver fuse", "attach", "--driver=fuse", "--device=/dev/loop7p1", "nbd://localhost")]
    [InlineData("512, 1024, 2048 or 4096", "attach", "--block-size=8192", "nbd://localhost")]
    [InlineData("1 to 1024", "attach", "-C", "0", "nbd://localhost")]
    [InlineData("TLS", "attach", "--driver=nbd", "nbds://localhost")]
    [InlineData("nbds", "attach", "--tls=off", "nbds://localhost")]
    [InlineData("nbd://", "attach", "http://localhost")]
    [InlineData("argument missing", "attach")]
    [InlineData("neither a block device nor a mountpoint", "detach", "/etc/passwd")]
    [InlineData("neither a block device nor a mountpoint", "detach", "/nonexistent")]
    [InlineData("is not for users", "__loop-helper", "format", "/dev/sda")]
    public async Task Wrong_command_line_is_refused_in_one_line(string expected, params string[] words)
    {
        using var output = new StringWriter();
        using var error = new StringWriter();
        Assert.Equal(1, await Program.RunAsync(words, output, error));
        Assert.Contains(expected, error.ToString(), StringComparison.Ordinal);
        Assert.StartsWith("nbdfuse: ", error.ToString(), StringComparison.Ordinal);
        Assert.Equal(1, error.ToString().Count(c => c == '\n'));
        Assert.Equal(string.Empty, output.ToString());
    }

    [Theory]
    [InlineData("attach")]
    [InlineData("detach")]
    [InlineData("status")]
    public async Task Help_shows_what_a_verb_takes_and_nothing_that_is_hidden(string verb)
    {
        using var output = new StringWriter();
        using var error = new StringWriter();
        Assert.Equal(0, await Program.RunAsync(["help", verb], output, error));
        Assert.Contains($" {verb} ", output.ToString(), StringComparison.Ordinal);
        Assert.DoesNotContain(AttachCommand.EntryOption, output.ToString(), StringComparison.Ordinal);
        Assert.Contains($"nbdfuse {verb}", HelpTexts.Usage, StringComparison.Ordinal);
    }
}
