using NbdFuse.Cli;
using Xunit;

namespace NbdFuse.UnitTests.Cli;

/// <summary>Whole command lines that touch neither the network nor a mountpoint.</summary>
public sealed class ProgramTests
{
    // The names that libnbd's nbdfuse 1.14 prints, in its order.
    private static readonly string[] CompatibleLong =
    [
        "--fuse-help", "--help", "--connections", "--pidfile", "--pid-file", "--readonly", "--read-only", "--verbose", "--version",
    ];

    private static readonly string[] CompatibleShort = ["-C", "-d", "-o", "-P", "-r", "-s", "-v", "-V"];

    [Fact]
    public async Task Help_goes_to_standard_output()
    {
        (int code, string output, string error) = await RunAsync("--help");

        Assert.Equal(0, code);
        Assert.Equal(string.Empty, error);
        Assert.Equal(HelpTexts.Usage, output);
        Assert.StartsWith(
            """

            Mount NBD server as a virtual file:

                nbdfuse [-C N|--connections N] [-d] [-o FUSE-OPTION] [-P PIDFILE]
                        [-r] [-s] [-v]
                        MOUNTPOINT[/FILENAME] URI

            Other modes:

                nbdfuse MOUNTPOINT[/FILENAME] [ CMD [ARGS ...] ]
                nbdfuse MOUNTPOINT[/FILENAME] --command CMD [ARGS ...]
                nbdfuse MOUNTPOINT[/FILENAME] --fd N
                nbdfuse MOUNTPOINT[/FILENAME] --tcp HOST PORT
                nbdfuse MOUNTPOINT[/FILENAME] --unix SOCKET
                nbdfuse MOUNTPOINT[/FILENAME] --vsock CID PORT

            To unmount:

                fusermount3 -u MOUNTPOINT

            """,
            output,
            StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_help_names_every_option()
    {
        (_, string output, _) = await RunAsync("--help");

        foreach (GetoptOption option in NbdfuseArgumentParser.Options.Where(o => o.IsListed && o.IsOwn))
        {
            Assert.Contains($"--{option.Long}", output, StringComparison.Ordinal);
        }

        foreach (string letter in CompatibleShort)
        {
            Assert.Contains(letter, output, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task No_line_of_the_help_is_wider_than_a_terminal()
    {
        (_, string output, _) = await RunAsync("--help");

        Assert.All(output.Split('\n'), line => Assert.True(line.Length <= 80, line));
    }

    [Theory]
    [InlineData("-V")]
    [InlineData("--version")]
    [InlineData("version")]
    public async Task The_version_is_a_name_and_a_number(string argument)
    {
        (int code, string output, _) = await RunAsync(argument);

        Assert.Equal(0, code);
        Assert.Matches(@"^nbdfuse \d+\.\d+\.\d+\S*\n$", output);
    }

    [Fact]
    public async Task The_options_for_completion_hide_themselves_and_include_all_of_libnbd()
    {
        string[] longOptions = (await RunAsync("--long-options")).Output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        string[] shortOptions = (await RunAsync("--short-options")).Output.Split('\n', StringSplitOptions.RemoveEmptyEntries);

        Assert.Empty(CompatibleLong.Except(longOptions));
        Assert.Empty(CompatibleShort.Except(shortOptions));
        Assert.DoesNotContain("--long-options", longOptions);
        Assert.Equal(longOptions.Length, longOptions.Distinct().Count());
    }

    [Fact]
    public async Task Fuse_help_lists_the_mount_options()
    {
        (int code, string output, _) = await RunAsync("--fuse-help");

        Assert.Equal(0, code);
        Assert.Contains("allow_other", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_usage_error_prints_reason_and_usage_on_standard_error_and_ends_with_1()
    {
        (int code, string output, string error) = await RunAsync("--bogus");

        Assert.Equal(1, code);
        Assert.Equal(string.Empty, output);
        Assert.Equal("nbdfuse: unrecognized option '--bogus'\n" + HelpTexts.Usage, error);
    }

    [Fact]
    public async Task No_argument_at_all_prints_the_usage_on_standard_error_and_ends_with_1()
    {
        (int code, string output, string error) = await RunAsync();

        Assert.Equal(1, code);
        Assert.Equal(string.Empty, output);
        Assert.Equal(HelpTexts.Usage, error);
    }

    [Theory]
    [InlineData("-C", "0", "m", "nbd://h")]
    [InlineData("m", "/path")]
    [InlineData("/nonexistent-parent/x", "nbd://localhost")]
    [InlineData("-P", "/nonexistent-parent/pid", "/", "nbd://localhost")]
    [InlineData("-o", "bogus", "/", "nbd://localhost")]
    [InlineData("/", "nbds://localhost")]
    [InlineData("info", "/path")]
    [InlineData("info")]
    [InlineData("info", "nbd://h", "extra")]
    [InlineData("info", "--is", "bogus", "nbd://h")]
    [InlineData("info", "nbds://localhost")]
    [InlineData("list", "--bogus", "nbd://h")]
    [InlineData("serve")]
    [InlineData("serve", "--memory", "1X")]
    [InlineData("serve", "--memory", "1M", "file")]
    [InlineData("serve", "--memory", "1M", "--port", "65536")]
    [InlineData("serve", "--memory", "1M", "--port", "x")]
    [InlineData("serve", "--memory", "1M", "--bind", "nowhere")]
    [InlineData("serve", "--memory", "1M", "--unix", "/s", "--port", "1")]
    [InlineData("serve", "--port", "0", "/nonexistent-parent/file")]
    public async Task Every_other_error_is_one_line_on_standard_error_and_exit_code_1(params string[] words)
    {
        (int code, string output, string error) = await RunAsync(words);

        Assert.Equal(1, code);
        Assert.Equal(string.Empty, output);
        Assert.StartsWith("nbdfuse: ", error, StringComparison.Ordinal);
        Assert.Equal(error.Length - 1, error.IndexOf('\n', StringComparison.Ordinal));
        Assert.DoesNotContain("internal error", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_unix_socket_with_too_long_a_path_is_refused_in_one_line()
    {
        string path = "/tmp/" + new string('x', 108);

        (int code, _, string error) = await RunAsync("serve", "--memory", "1M", "--unix", path);

        Assert.Equal(1, code);
        Assert.StartsWith($"nbdfuse: cannot listen at {path}: ", error, StringComparison.Ordinal);
        Assert.Contains("107", error, StringComparison.Ordinal);
        Assert.Equal(error.Length - 1, error.IndexOf('\n', StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("info", "--is")]
    [InlineData("list", "--json")]
    [InlineData("serve", "--memory")]
    public async Task Every_verb_has_a_help_by_two_ways(string verb, string option)
    {
        (int code, string output, string error) = await RunAsync(verb, "--help");

        Assert.Equal(0, code);
        Assert.Equal(string.Empty, error);
        Assert.Contains(option, output, StringComparison.Ordinal);
        Assert.Equal(output, (await RunAsync("help", verb)).Output);
    }

    [Fact]
    public async Task Help_alone_is_the_usage()
    {
        Assert.Equal(HelpTexts.Usage, (await RunAsync("help")).Output);
        Assert.Equal(HelpTexts.Usage, (await RunAsync("help", "me")).Output);
    }

    [Fact]
    public async Task A_verb_wins_over_a_mountpoint_of_its_name()
    {
        // As a mount this would complain about the mountpoint.
        (_, _, string error) = await RunAsync("info", "nbds://localhost/?tls-type=psk");

        Assert.Contains("tls-psk-file", error, StringComparison.Ordinal);
    }

    private static async Task<(int Code, string Output, string Error)> RunAsync(params string[] words)
    {
        using var output = new StringWriter { NewLine = "\n" };
        using var error = new StringWriter { NewLine = "\n" };
        int code = await Program.RunAsync(words, output, error);
        return (code, output.ToString(), error.ToString());
    }
}
