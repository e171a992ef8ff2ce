using NbdFuse.Native;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>How a mount ends when the server does not answer or is gone.</summary>
public sealed class LostServerTests
{
    [Fact]
    public async Task Killed_server_gives_eio_and_the_unmount_says_what_may_be_lost()
    {
        await using RealServer server = await RealServers.Nbdkit("memory", "1M");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri, "--reconnect-timeout=0");
        using (MountedFile file = mount.Open(OpenFlags.ReadWrite | OpenFlags.Direct))
        {
            file.Write(0, PatternData.Create(1, 0, 4096));
            server.Kill();
            Assert.Equal(-Errno.EIO, file.TryRead(0, new byte[4096]));
            Assert.Equal(-Errno.EIO, file.TryWrite(4096, new byte[4096]));
            Assert.Equal(-Errno.EIO, file.Fsync());
        }

        Assert.False(mount.HasExited);

        // A process that another test starts closes its copy of our descriptor when it executes its program. If that happened
        // between the write and the kill, its FLUSH has made the write durable and nothing is lost: exit code and message agree.
        int code = await mount.UnmountAsync();
        Assert.Equal(mount.Error.Contains("may be lost") ? 1 : 0, code);
        Assert.DoesNotContain("internal error", mount.Error);
        Assert.DoesNotContain("   at ", mount.Error);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Unmount_after_a_lost_server_that_has_everything_ends_with_exit_code_0(bool isReadOnly)
    {
        await using RealServer server = await RealServers.Nbdkit("memory", "1M");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(
            server.Uri, isReadOnly ? ["-r", "--reconnect-timeout=0"] : ["--reconnect-timeout=0"]);
        if (!isReadOnly)
        {
            using MountedFile file = mount.Open(OpenFlags.ReadWrite | OpenFlags.Direct);
            file.Write(0, PatternData.Create(1, 0, 4096));
            Assert.Equal(0, file.Fsync());
        }

        server.Kill();
        await Deadline.Until(() => mount.Error.Contains("the server is lost"), "the loss to be noticed");
        Assert.Equal(0, await mount.UnmountAsync());
        Assert.DoesNotContain("may be lost", mount.Error);
    }

    [Fact]
    public async Task Second_signal_ends_a_server_that_was_started_for_the_mount()
    {
        Requires.Command("nbdkit");
        using var directory = new TempDirectory();
        string pidFile = directory["server.pid"];

        // A server that ignores the end of its client: only a signal ends it.
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(new MountStart
        {
            Prefix = ["env", $"TMPDIR={directory.Path}"],
            Mode =
            [
                "[", "/bin/sh", "-c", "echo $$ >\"$0\"; exec nbdkit \"$@\"", pidFile,
                "--filter=delay", "memory", "1M", "delay-read=300", "]",
            ],
        });
        int server = int.Parse(await File.ReadAllTextAsync(pidFile));
        Assert.False(OtherProcess.IsGone(server));
        using MountedFile file = mount.Open(OpenFlags.ReadOnly | OpenFlags.Direct);
        Task<int> hanging = Task.Run(() => file.TryRead(0, new byte[4096]));
        mount.Signal("TERM");
        await Deadline.Until(() => mount.Error.Contains("in use"), "the first signal to be noticed");
        Assert.NotEqual(0, await mount.EndBySignalAsync("TERM"));
        Assert.True(await Deadline.Within(hanging, "the read to end") < 0);
        await Deadline.Until(() => OtherProcess.IsGone(server), "the server to be gone");
        Assert.Empty(Directory.GetDirectories(directory.Path, "nbdfuse-*"));
    }

    [Fact]
    public async Task Killed_server_ends_what_was_in_flight_with_eio()
    {
        var asked = new TaskCompletionSource();
        await using var server = new ScriptedNbdServer(async script =>
        {
            await script.Handshake();
            await script.ReadRequest();
            asked.TrySetResult();
            await script.ReadRequest();
            script.Close();
        });
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri, "--reconnect-timeout=0");
        using MountedFile file = mount.Open(OpenFlags.ReadOnly | OpenFlags.Direct);
        Task<int> first = Task.Run(() => file.TryRead(0, new byte[4096]));
        await Deadline.Within(asked.Task, "the first read");
        Task<int> second = Task.Run(() => file.TryRead(8192, new byte[4096]));
        Assert.Equal(-Errno.EIO, await Deadline.Within(first, "the first read to end"));
        Assert.Equal(-Errno.EIO, await Deadline.Within(second, "the second read to end"));
    }

    [Fact]
    public async Task Signal_after_the_server_was_killed_unmounts_and_ends()
    {
        await using RealServer server = await RealServers.Nbdkit("memory", "1M");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        server.Kill();
        Assert.Equal(1, await mount.EndBySignalAsync("TERM"));
        Assert.False(MountedNbdfuse.IsMounted(mount.MountPoint));
    }

    [Fact]
    public async Task Second_signal_ends_at_once_while_the_server_hangs()
    {
        var asked = new TaskCompletionSource();
        await using var server = new ScriptedNbdServer(async script =>
        {
            await script.Handshake();
            await script.ReadRequest();
            asked.TrySetResult();
            await script.StaySilent();
        });
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        using MountedFile file = mount.Open(OpenFlags.ReadOnly | OpenFlags.Direct);
        Task<int> hanging = Task.Run(() => file.TryRead(0, new byte[4096]));
        await Deadline.Within(asked.Task, "the read");

        mount.Signal("TERM");
        await Deadline.Until(() => mount.Error.Contains("in use"), "the first signal to be noticed");
        int code = await mount.EndBySignalAsync("TERM");
        Assert.NotEqual(0, code);
        Assert.True(await Deadline.Within(hanging, "the read to end") < 0);
        Assert.False(MountedNbdfuse.IsMounted(mount.MountPoint));
    }
}
