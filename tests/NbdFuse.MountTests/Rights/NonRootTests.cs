using NbdFuse.Native;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>Mounts of a user without privileges, through fusermount3, and in a user namespace.</summary>
public sealed class NonRootTests
{
    [Theory]
    [InlineData(MountShape.Directory)]
    [InlineData(MountShape.NameInDirectory)]
    [InlineData(MountShape.File)]
    public async Task User_mounts_writes_reads_and_unmounts(MountShape shape)
    {
        RequireUnprivileged();
        await using RealServer server = await RealServers.Nbdkit(ServerTransport.Tcp, "memory", "1M");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(
            new MountStart { Mode = [server.Uri], Shape = shape, Unprivileged = true });

        // Root itself may not look into the mount of another user.
        string script = $"""
            set -e
            test "$(stat -c '%u %s %a' {mount.FilePath})" = "{MountedNbdfuse.UnprivilegedId} 1048576 666"
            head -c 100000 /dev/urandom >{mount.Directory["data"]}
            dd if={mount.Directory["data"]} of={mount.FilePath} bs=10000 conv=notrunc status=none
            head -c 100000 {mount.FilePath} | cmp - {mount.Directory["data"]}
            fusermount3 -u {mount.MountPoint}
            """;
        (await AsUser("/bin/sh", "-c", script)).EnsureSuccess();
        Assert.Equal(0, await mount.WaitForExitAsync());
        Assert.False(MountedNbdfuse.IsMounted(mount.MountPoint));
    }

    [Fact]
    public async Task Mount_of_a_user_is_closed_to_others()
    {
        RequireUnprivileged();
        await using RealServer server = await RealServers.Nbdkit(ServerTransport.Tcp, "memory", "1M");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(new MountStart { Mode = [server.Uri], Unprivileged = true });
        Assert.Equal(-Errno.EACCES, Posix.Stat(mount.FilePath, out _));
        Assert.Equal(1, await mount.EndBySignalAsync("TERM"));
        Assert.False(MountedNbdfuse.IsMounted(mount.MountPoint));
    }

    [Fact]
    public async Task Killed_process_of_a_user_leaves_a_dead_mount_that_the_user_replaces()
    {
        RequireUnprivileged();
        await using RealServer server = await RealServers.Nbdkit(ServerTransport.Tcp, "memory", "1M");
        var start = new MountStart { Mode = [server.Uri], Unprivileged = true };
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(start);
        await mount.EndBySignalAsync("KILL");
        await using MountedNbdfuse next = await mount.StartAgainAtAsync(mount.MountPoint, start);
        (await AsUser("dd", $"if={mount.FilePath}", "of=/dev/null", "bs=64k", "status=none")).EnsureSuccess();
        Assert.Equal(1, await next.EndBySignalAsync("TERM"));
        Assert.False(MountedNbdfuse.IsMounted(mount.MountPoint));
    }

    [Fact]
    public async Task Allow_other_without_the_line_in_fuse_conf_is_explained()
    {
        RequireUnprivileged();
        if (File.Exists("/etc/fuse.conf") && File.ReadLines("/etc/fuse.conf").Any(line => line.Trim() == "user_allow_other"))
        {
            Requires.Missing("no-allow-other", "/etc/fuse.conf allows it to everybody");
        }

        await using RealServer server = await RealServers.Nbdkit(ServerTransport.Tcp, "memory", "1M");
        await using MountedNbdfuse mount = MountedNbdfuse.Launch(
            new MountStart { Mode = [server.Uri], Options = ["-o", "allow_other"], Unprivileged = true });
        Assert.Equal(1, await mount.WaitForExitAsync());
        OneLine.AssertError(mount.Error, "user_allow_other", "/etc/fuse.conf");
    }

    [Fact]
    public async Task Mountpoint_that_belongs_to_somebody_else_is_refused()
    {
        RequireUnprivileged();
        await using RealServer server = await RealServers.Nbdkit(ServerTransport.Tcp, "memory", "1M");
        using var foreign = new TempDirectory();
        File.SetUnixFileMode(foreign.Path, (UnixFileMode)0b111_101_101);
        ToolResult result = await AsUser(NbdfuseProgram.CopyTo(foreign), foreign.Path, server.Uri);
        OneLine.AssertError(result, foreign.Path);
        Assert.False(MountedNbdfuse.IsMounted(foreign.Path));
    }

    [Fact]
    public async Task Allow_other_of_root_opens_the_mount_to_every_user()
    {
        RequireUnprivileged();
        await using RealServer server = await RealServers.Nbdkit("memory", "1M");
        await using MountedNbdfuse closed = await MountedNbdfuse.StartAsync(server.Uri);
        await using MountedNbdfuse open = await MountedNbdfuse.StartAsync(server.Uri, "-o", "allow_other");
        foreach (MountedNbdfuse mount in new[] { closed, open })
        {
            File.SetUnixFileMode(mount.Directory.Path, (UnixFileMode)0b111_101_101);
        }

        Assert.NotEqual(0, (await AsUser("cat", closed.FilePath)).ExitCode);
        (await AsUser("dd", "if=/dev/zero", $"of={open.FilePath}", "bs=64k", "count=4", "status=none")).EnsureSuccess();
    }

    [Fact]
    public async Task User_namespace_mounts_by_itself()
    {
        RequireUnprivileged();
        if ((await AsUser("unshare", "-Urm", "true")).ExitCode != 0)
        {
            Requires.Missing("userns", "users can't make user namespaces");
        }

        await using RealServer server = await RealServers.Nbdkit(ServerTransport.Tcp, "memory", "1M");
        using var directory = new TempDirectory();
        string mountPoint = Directory.CreateDirectory(directory["mnt"]).FullName;
        string program = NbdfuseProgram.CopyTo(directory);
        (await Tool.RunAsync("chown", "-R", $"{MountedNbdfuse.UnprivilegedId}", directory.Path)).EnsureSuccess();

        // No fusermount3 in there: mount(2) must do. The mount is seen inside the namespace only, and goes with it.
        string script = $$"""
            set -e
            PATH=/nonexistent
            {{program}} -P {{directory["pid"]}} {{mountPoint}} {{server.Uri}} 2>{{directory["log"]}} &
            until [ -s {{directory["pid"]}} ]; do
                kill -0 $! || { /bin/cat {{directory["log"]}} >&2; exit 1; }
                /bin/sleep 0.02
            done
            echo "the bytes of the namespace" | /bin/dd of={{mountPoint}}/nbd conv=notrunc status=none
            /bin/umount {{mountPoint}}
            wait $!
            """;
        (await AsUser("unshare", "-Urm", "/bin/sh", "-c", script)).EnsureSuccess();
        Assert.False(MountedNbdfuse.IsMounted(mountPoint));

        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        Assert.StartsWith("the bytes of the namespace\n", System.Text.Encoding.ASCII.GetString(await File.ReadAllBytesAsync(mount.FilePath)));
    }

    private static Task<ToolResult> AsUser(params string[] words) =>
        Tool.RunAsync(MountedNbdfuse.Unprivileged[0], [.. MountedNbdfuse.Unprivileged[1..], .. words]);

    private static void RequireUnprivileged()
    {
        Requires.Root();
        Requires.Fuse();
        Requires.Command("fusermount3");
        Requires.Command("setpriv");

        // Only udev makes it so that everybody may use it; the set-up of the tests does it where there is none.
        if (((int)File.GetUnixFileMode("/dev/fuse") & 0b110) != 0b110)
        {
            File.SetUnixFileMode("/dev/fuse", (UnixFileMode)0b110_110_110);
        }
    }
}
