using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>Texts about the command itself, and what wrong arguments give; libnbd's command is asked where it must agree.</summary>
public sealed class UsageTests
{
    [Theory]
    [InlineData("")]
    [InlineData("/tmp")]
    [InlineData("/tmp nbd://localhost more")]
    [InlineData("/tmp --tcp localhost")]
    [InlineData("/tmp --tcp localhost 10809 more")]
    [InlineData("/tmp --unix")]
    [InlineData("/tmp --fd")]
    [InlineData("/tmp --vsock 2")]
    [InlineData("/tmp --command")]
    [InlineData("/tmp [ nbdkit null 1M")]
    [InlineData("/tmp [ ]")]
    [InlineData("/tmp --no-such-mode x")]
    [InlineData("--no-such-option /tmp nbd://localhost")]
    [InlineData("-C")]
    public async Task Wrong_words_give_the_usage_and_exit_code_1_as_with_libnbd(string line)
    {
        string[] words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        ToolResult ours = (await NbdfuseProgram.RunAsync(words)).EnsureExit(1);
        Assert.Empty(ours.Output);
        Assert.Contains("nbdfuse [-C N|--connections N] [-d] [-o FUSE-OPTION] [-P PIDFILE]", ours.Error);

        ToolResult theirs = await Tool.RunAsync(LibnbdProgram(), words);
        Assert.True(ours.ExitCode == theirs.ExitCode, $"{ours}\n{theirs}");
        Assert.Empty(theirs.Output);
    }

    [Theory]
    [InlineData("-C 0 /tmp nbd://localhost", ">= 1")]
    [InlineData("-C 1025 /tmp nbd://localhost", "<= 1024")]
    [InlineData("--connections many /tmp nbd://localhost", "--connections")]
    [InlineData("/tmp --fd x", "file descriptor")]
    [InlineData("/tmp --tcp localhost 70000", "70000")]
    [InlineData("--punch=hole /tmp nbd://localhost", "--punch")]
    [InlineData("-o no_such_option /tmp nbd://localhost", "no_such_option")]
    [InlineData("-o uid=me /tmp nbd://localhost", "uid=me")]
    [InlineData("-o umask=9 /tmp nbd://localhost", "umask=9")]
    [InlineData("-P /no/such/directory/pid /tmp nbd://localhost", "mkdir -p /no/such/directory")]
    [InlineData("/no/such/directory/nbd nbd://localhost", "mkdir -p /no/such/directory")]
    [InlineData("/dev/null nbd://localhost", "/dev/null")]
    [InlineData("/tmp http://localhost", "http")]
    [InlineData("/tmp nbd+unix:///", "socket")]
    [InlineData("/tmp nbds://localhost/?tls-psk-file=/no/such/keys", "/no/such/keys")]
    [InlineData("--tls=off /tmp nbds://localhost", "--tls")]
    [InlineData("--tls=maybe /tmp nbd://localhost", "maybe")]
    [InlineData("--tls-psk /keys /tmp nbd://localhost", "--tls=require")]
    [InlineData("info --tls=off nbds://localhost", "--tls")]
    [InlineData("info http://localhost", "http")]
    [InlineData("info", "help info")]
    [InlineData("serve", "--memory")]
    [InlineData("serve --memory lots", "lots")]
    [InlineData("serve --port 70000 --memory 1M", "--port")]
    [InlineData("serve /no/such/file", "/no/such/file")]
    public async Task Wrong_value_is_named_in_one_line(string line, string part)
    {
        ToolResult result = await NbdfuseProgram.RunAsync(line.Split(' '));
        OneLine.AssertError(result, part);
    }

    [Fact]
    public async Task Version_is_one_line_that_begins_as_that_of_libnbd()
    {
        foreach (string option in new[] { "--version", "-V" })
        {
            ToolResult ours = (await NbdfuseProgram.RunAsync(option)).EnsureSuccess();
            Assert.Matches(@"\Anbdfuse \d+\.\d+\.\d+\S*\n\z", ours.Output);
            Assert.Empty(ours.Error);
        }

        Assert.StartsWith("nbdfuse ", (await Tool.RunAsync(LibnbdProgram(), "--version")).EnsureSuccess().Output);
    }

    [Fact]
    public async Task Help_holds_every_line_of_the_synopsis_of_libnbd()
    {
        string ours = (await NbdfuseProgram.RunAsync("--help")).EnsureSuccess().Output;
        string theirs = (await Tool.RunAsync(LibnbdProgram(), "--help")).EnsureSuccess().Output;
        string[] synopsis = [.. theirs.Split('\n').Where(line => line.Contains("MOUNTPOINT") || line.Contains("--fuse-help"))];
        Assert.NotEmpty(synopsis);
        Assert.All(synopsis, line => Assert.Contains(line + "\n", ours));

        Assert.Equal(ours, (await NbdfuseProgram.RunAsync("--help", "--no-such-option")).EnsureSuccess().Output);
        Assert.Contains("allow_other", (await NbdfuseProgram.RunAsync("--fuse-help")).EnsureSuccess().Output);
    }

    [Theory]
    [InlineData("--long-options")]
    [InlineData("--short-options")]
    public async Task Completion_lists_the_options_of_libnbd_in_its_order(string option)
    {
        string[] ours = Lines((await NbdfuseProgram.RunAsync(option)).EnsureSuccess());
        string[] theirs = Lines((await Tool.RunAsync(LibnbdProgram(), option)).EnsureSuccess());
        Assert.Equal(theirs, ours.Where(theirs.Contains));
        Assert.DoesNotContain("--long-options", ours);
    }

    [Fact]
    public async Task Verb_wins_over_a_mountpoint_of_its_name()
    {
        ToolResult result = await NbdfuseProgram.RunAsync("info", "--help");
        Assert.Contains("nbdinfo", result.EnsureSuccess().Output);
    }

    private static string[] Lines(ToolResult result) => result.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries);

    // The same name, another package: only libnbd's knows itself as that.
    private static string LibnbdProgram()
    {
        string path = Requires.Command("nbdfuse");
        if (!Tool.Run(path, "--version").Output.Contains("libnbd"))
        {
            Requires.Missing("libnbd-nbdfuse", $"{path} is not libnbd's");
        }

        return path;
    }
}
