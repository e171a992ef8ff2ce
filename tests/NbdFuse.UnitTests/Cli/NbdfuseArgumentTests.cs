using NbdFuse.Cli;
using NbdFuse.Client;
using NbdFuse.Fuse;
using NbdFuse.Protocol;
using Xunit;

namespace NbdFuse.UnitTests.Cli;

/// <summary>The grammar of libnbd's nbdfuse 1.14, checked against that program, and the additions.</summary>
public sealed class NbdfuseArgumentTests
{
    private static readonly string[] Mount = ["mnt", "nbd://h/x"];

    [Fact]
    public void A_mountpoint_and_a_URI_are_enough()
    {
        NbdfuseArguments result = Parse("mnt", "nbd://host:123/name");

        Assert.Equal(NbdfuseAction.Mount, result.Action);
        Assert.Equal("mnt", result.MountPoint);
        Assert.Equal(new TcpTarget("host", 123), result.Target);
        Assert.Equal("name", result.ExportName);
        Assert.Equal(4, result.Connections);
        Assert.False(result.ReadOnly);
        Assert.False(result.Verbose);
        Assert.Null(result.PidFile);
        Assert.Empty(result.MountOptions);
        Assert.Equal(PunchMode.Zero, result.Punch);
        Assert.Equal(SpinMode.Auto, result.Spin);
        Assert.Null(result.Movers);
        Assert.Null(result.CacheBytes);
        Assert.Null(result.ReadAheadBytes);
    }

    [Theory]
    [InlineData("0", 0)]
    [InlineData("1M", 1 << 20)]
    [InlineData("64MiB", 64 << 20)]
    [InlineData("1G", 1L << 30)]
    public void Cache_and_readahead_take_sizes(string text, long bytes)
    {
        NbdfuseArguments result = Parse(["--cache", text, $"--readahead={text}", .. Mount]);

        Assert.Equal(bytes, result.CacheBytes);
        Assert.Equal(bytes, result.ReadAheadBytes);
    }

    [Fact]
    public void Traces_are_named_by_files()
    {
        NbdfuseArguments result = Parse(["--record", "a", "--prefetch=b", .. Mount]);

        Assert.Equal(("a", "b"), (result.RecordFile, result.PrefetchFile));
        Assert.Throws<UsageException>(() => Parse(["--record=", .. Mount]));
        Assert.Throws<UsageException>(() => Parse(["--prefetch=", .. Mount]));
    }

    [Fact]
    public void Every_mode_gives_its_target()
    {
        Assert.Equal(new UnixTarget("/s"), Parse("m", "nbd+unix:///?socket=/s").Target);
        Assert.Equal(new UnixTarget("/s"), Parse("m", "--unix", "/s").Target);
        Assert.Equal(new TcpTarget("h", 10), Parse("m", "--tcp", "h", "10").Target);
        Assert.Equal(new TcpTarget("h", 10809), Parse("m", "--tcp", "h", "nbd").Target);
        Assert.Equal(new VsockTarget(2, 4294967295), Parse("m", "--vsock", "2", "4294967295").Target);
        Assert.Equal(new DescriptorTarget(7), Parse("m", "--fd", "7").Target);
        Assert.Equal(new TcpTarget("h", 10809), Parse("m", "--uri", "nbd://h").Target);
        AssertCommand<CommandTarget>(["a", "-s", "]"], Parse("m", "--command", "a", "-s", "]").Target);
        AssertCommand<CommandTarget>(["a"], Parse("m", "--cmd", "a").Target);
        AssertCommand<SocketActivationTarget>(["a", "[", "b"], Parse("m", "[", "a", "[", "b", "]").Target);
        AssertCommand<SocketActivationTarget>(["a", "-v"], Parse("m", "--socket-activation", "a", "-v").Target);
        AssertCommand<SocketActivationTarget>(["a"], Parse("m", "--systemd-socket-activation", "a").Target);
    }

    [Theory]
    [InlineData("-r -v -C4 -P p -o ro,uid=1 -s")]
    [InlineData("-rvsC 4 -Pp -oro,uid=1")]
    [InlineData("-rdsC4 -P p -o ro,uid=1")]
    [InlineData("--readonly --verbose --connections 4 --pidfile p -o ro,uid=1")]
    [InlineData("--read-only --verbose --connections=4 --pid-file=p -o ro,uid=1")]
    [InlineData("--read --verb --conn=4 --pid p -o ro,uid=1")]
    [InlineData("--r --verb --c 4 --p p -o ro,uid=1 --")]
    public void Every_spelling_of_the_options_means_the_same(string options)
    {
        NbdfuseArguments result = Parse([.. options.Split(' '), .. Mount]);

        Assert.True(result.ReadOnly);
        Assert.True(result.Verbose);
        Assert.Equal(4, result.Connections);
        Assert.Equal("p", result.PidFile);
        Assert.Equal(["ro,uid=1"], result.MountOptions);
    }

    [Fact]
    public void Mount_options_keep_their_order()
    {
        Assert.Equal(["ro", "uid=1", "rw"], Parse(["-o", "ro", "-ouid=1", "-o", "rw", .. Mount]).MountOptions);
    }

    [Fact]
    public void Own_options_are_read()
    {
        NbdfuseArguments result = Parse(
            "--punch=trim", "--spin", "off", "--movers=2", "--export=e", "-q", "--debug", "m", "--tcp", "h", "1");

        Assert.Equal(PunchMode.Trim, result.Punch);
        Assert.Equal(SpinMode.Off, result.Spin);
        Assert.Equal(2, result.Movers);
        Assert.Equal("e", result.ExportName);
        Assert.True(result.Quiet);
        Assert.True(result.Debug);
    }

    [Fact]
    public void Options_of_reconnection_are_read()
    {
        NbdfuseArguments none = Parse(Mount);
        Assert.Equal(Timeout.InfiniteTimeSpan, none.ReconnectTimeout);
        Assert.Equal(TimeSpan.Zero, none.RequestTimeout);
        Assert.Equal(NbdTimeoutAction.Error, none.OnTimeout);
        Assert.Equal(16 << 20, none.WriteLogBytes);
        Assert.False(none.Shared);

        NbdfuseArguments result = Parse(
            ["--reconnect-timeout=1.5", "--request-timeout", "60", "--on-timeout=wait", "--write-log=1M", "--shared", .. Mount]);
        Assert.Equal(TimeSpan.FromSeconds(1.5), result.ReconnectTimeout);
        Assert.Equal(TimeSpan.FromMinutes(1), result.RequestTimeout);
        Assert.Equal(NbdTimeoutAction.Wait, result.OnTimeout);
        Assert.Equal(1 << 20, result.WriteLogBytes);
        Assert.True(result.Shared);
        Assert.Equal(Timeout.InfiniteTimeSpan, Parse(["--reconnect-timeout=never", .. Mount]).ReconnectTimeout);
        Assert.Equal(TimeSpan.Zero, Parse(["--reconnect-timeout=0", .. Mount]).ReconnectTimeout);
        Assert.Equal(0, Parse(["--write-log=0", .. Mount]).WriteLogBytes);
    }

    [Fact]
    public void Further_servers_have_their_own_names_and_settings_of_tls()
    {
        NbdfuseArguments result = Parse(
            ["--also", "nbds://a/x?tls-hostname=y", "--also=nbd+unix:///?socket=/s", "--failover=shared-storage", .. Mount]);
        Assert.True(result.SharedStorage);
        Assert.Equal([new TcpTarget("a", 10809), new UnixTarget("/s")], result.Also.Select(also => also.Target));
        Assert.Equal(["x", ""], result.Also.Select(also => also.ExportName));
        Assert.Equal([(NbdTlsMode.Require, "y"), (NbdTlsMode.Off, null)], result.Also.Select(also => (also.Tls.Mode, also.Tls.HostName)));
        Assert.Equal(NbdTlsMode.Off, result.Tls.Mode);
        Assert.Contains("shared-storage", Assert.Throws<UsageException>(() => Parse(["--failover=yes", .. Mount])).Message, StringComparison.Ordinal);
        Assert.Throws<NbdUriException>(() => Parse(["--also", "http://x", .. Mount]));
    }

    [Fact]
    public void Commands_are_started_again_when_that_is_asked_for_and_nothing_else_is()
    {
        Assert.False(Parse("mnt", "--command", "true").Target!.CanReconnect);
        Assert.True(Parse("--respawn", "mnt", "--command", "true").Target!.CanReconnect);
        Assert.True(Parse("--respawn", "mnt", "[", "true", "]").Target!.CanReconnect);
        Assert.Throws<UsageException>(() => Parse(["--respawn", .. Mount]));
        Assert.Throws<UsageException>(() => Parse("--respawn", "mnt", "--fd", "3"));
    }

    [Fact]
    public void An_abbreviation_that_libnbd_knows_is_not_made_ambiguous_by_own_options()
    {
        // --p is --pidfile although there is --punch; --s is --short-options although there is --spin.
        Assert.Equal("file", Parse(["--p", "file", .. Mount]).PidFile);
        Assert.Equal(NbdfuseAction.ShortOptions, Parse("--s").Action);
        Assert.True(Parse(["--readonl", .. Mount]).ReadOnly);
        Assert.Equal(NbdfuseAction.Help, Parse("--h").Action);
        Assert.Equal(NbdfuseAction.FuseHelp, Parse("--f").Action);
    }

    [Theory]
    [InlineData("--help", "Help")]
    [InlineData("--fuse-help", "FuseHelp")]
    [InlineData("-V", "Version")]
    [InlineData("--version", "Version")]
    [InlineData("--long-options", "LongOptions")]
    [InlineData("--short-options", "ShortOptions")]
    [InlineData("-rV", "Version")]
    public void An_option_that_prints_acts_when_it_is_met(string option, string action)
    {
        Assert.Equal(action, Parse(option).Action.ToString());
        Assert.Equal(action, Parse(option, "--bogus", "-C").Action.ToString());
    }

    [Fact]
    public void What_follows_the_mountpoint_is_never_an_option()
    {
        AssertUsage("unknown mode: -r", "mnt", "-r", "nbd://h");
        AssertUsage("unknown mode: --", "mnt", "--", "nbd://h");
    }

    [Fact]
    public void Two_dashes_let_a_mountpoint_begin_with_a_dash()
    {
        Assert.Equal("-mnt", Parse("-r", "--", "-mnt", "nbd://h").MountPoint);
    }

    [Theory]
    [InlineData("")]
    [InlineData("mnt")]
    [InlineData("-r mnt")]
    [InlineData("mnt nbd://h extra")]
    [InlineData("mnt [")]
    [InlineData("mnt [ ]")]
    [InlineData("mnt [ a")]
    [InlineData("mnt [ a ] b")]
    [InlineData("mnt --command")]
    [InlineData("mnt --cmd")]
    [InlineData("mnt --socket-activation")]
    [InlineData("mnt --systemd-socket-activation")]
    [InlineData("mnt --fd")]
    [InlineData("mnt --fd 1 2")]
    [InlineData("mnt --tcp h")]
    [InlineData("mnt --tcp h 1 2")]
    [InlineData("mnt --unix")]
    [InlineData("mnt --unix a b")]
    [InlineData("mnt --vsock 1")]
    [InlineData("mnt --vsock 1 2 3")]
    [InlineData("mnt --uri")]
    [InlineData("mnt --uri nbd://h b")]
    public void A_wrong_number_of_words_shows_the_usage(string line)
    {
        AssertUsage(string.Empty, line.Split(' ', StringSplitOptions.RemoveEmptyEntries));
    }

    [Theory]
    [InlineData("invalid option -- 'x'", "-x")]
    [InlineData("invalid option -- 'x'", "-rx")]
    [InlineData("option requires an argument -- 'C'", "-C")]
    [InlineData("option requires an argument -- 'o'", "-ro")]
    [InlineData("unrecognized option '--bogus'", "--bogus")]
    [InlineData("unrecognized option '--bogus=1'", "--bogus=1")]
    [InlineData("option '--ver' is ambiguous; possibilities: '--verbose' '--version'", "--ver")]
    [InlineData("option '--pidfile' requires an argument", "--p")]
    [InlineData("option '--connections' requires an argument", "--connections")]
    [InlineData("option '--verbose' doesn't allow an argument", "--verbose=1")]
    [InlineData("unknown mode: --bogus", "mnt", "--bogus")]
    public void A_wrong_option_is_reported_in_the_words_of_getopt_and_shows_the_usage(string message, params string[] words)
    {
        AssertUsage(message, words);
    }

    [Theory]
    [InlineData("-C", "0")]
    [InlineData("-C", "1025")]
    [InlineData("-C", "x")]
    [InlineData("-C", "-1")]
    [InlineData("-C", "")]
    [InlineData("-P", "")]
    [InlineData("--punch", "none")]
    [InlineData("--spin", "on")]
    [InlineData("--cache", "4095")]
    [InlineData("--cache", "2T")]
    [InlineData("--cache", "much")]
    [InlineData("--readahead", "1")]
    [InlineData("--readahead", "2G")]
    [InlineData("--readahead", "-1M")]
    [InlineData("--reconnect-timeout", "-1")]
    [InlineData("--reconnect-timeout", "soon")]
    [InlineData("--reconnect-timeout", "1e9")]
    [InlineData("--request-timeout", "never")]
    [InlineData("--request-timeout", "99999999")]
    [InlineData("--on-timeout", "panic")]
    [InlineData("--write-log", "1")]
    [InlineData("--write-log", "2G")]
    [InlineData("--write-log", "x")]
    [InlineData("--movers", "17")]
    [InlineData("--movers", "-1")]
    public void A_wrong_value_is_reported_without_the_usage(string option, string value)
    {
        var error = Assert.Throws<UsageException>(() => Parse([option, value, .. Mount]));

        Assert.False(error.ShowUsage);
        Assert.NotEmpty(error.Message);
        Assert.DoesNotContain('\n', error.Message);
    }

    [Theory]
    [InlineData("could not parse file descriptor: x", "--fd", "x")]
    [InlineData("could not parse file descriptor: -1", "--fd", "-1")]
    [InlineData("could not parse vsock cid: x", "--vsock", "x", "1")]
    [InlineData("could not parse vsock port: y", "--vsock", "1", "y")]
    [InlineData("could not parse port: 0; it is a number from 1 to 65535", "--tcp", "h", "0")]
    [InlineData("could not parse port: 65536; it is a number from 1 to 65535", "--tcp", "h", "65536")]
    public void A_wrong_number_of_a_mode_is_named(string message, params string[] mode)
    {
        Assert.Equal(message, Assert.Throws<UsageException>(() => Parse(["mnt", .. mode])).Message);
    }

    [Theory]
    [InlineData("/path")]
    [InlineData("localhost:10809")]
    [InlineData("http://h")]
    public void A_wrong_URI_is_an_error_of_the_URI(string uri)
    {
        Assert.Throws<NbdUriException>(() => Parse("mnt", uri));
    }

    [Fact]
    public void An_export_named_twice_is_refused()
    {
        Assert.Throws<UsageException>(() => Parse("--export", "a", "m", "nbd://h/b"));
        Assert.Equal("a", Parse("--export", "a", "m", "nbd://h").ExportName);
    }

    [Fact]
    public void The_last_of_quiet_and_verbose_wins()
    {
        Assert.True(Parse(["-qv", .. Mount]).Verbose);
        Assert.True(Parse(["-vq", .. Mount]).Quiet);
        Assert.False(Parse(["-vq", .. Mount]).Verbose);
    }

    private static NbdfuseArguments Parse(params string[] words) => NbdfuseArgumentParser.Parse(words);

    private static void AssertUsage(string message, params string[] words)
    {
        var error = Assert.Throws<UsageException>(() => Parse(words));
        Assert.Equal(message, error.Message);
        Assert.True(error.ShowUsage);
    }

    private static void AssertCommand<T>(string[] expected, NbdTarget? target)
        where T : NbdTarget
    {
        Assert.IsType<T>(target);
        Assert.Equal(expected, target is CommandTarget command ? command.Arguments : ((SocketActivationTarget)target).Arguments);
    }
}
