using System.Globalization;
using NbdFuse.Native;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>
/// What a process has left once it serves: every thread of it is asked. Then it does with that what it may have to do: reconnect,
/// end.
/// </summary>
public sealed class PrivilegeTests(TestPki pki) : IClassFixture<TestPki>
{
    private const Capabilities Mount = Capabilities.SysAdmin | Capabilities.DacReadSearch;
    private const Capabilities Device = Mount | Capabilities.IpcLock | Capabilities.SysPtrace | Capabilities.Mknod;
    private static readonly OpenFlags Direct = OpenFlags.ReadWrite | OpenFlags.Direct;

    [Theory]
    [InlineData("TERM")]
    [InlineData("umount")]
    public async Task Mount_of_root_keeps_what_unmounting_needs_and_no_thread_has_more(string ending)
    {
        Requires.Root();
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Size = 4 << 20, Transport = ServerTransport.Unix });
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);

        // For its pidfile, and the socket of the server.
        AssertHasOnly(mount.Id, Mount | Capabilities.DacOverride);
        byte[] data = PatternData.Create(3, 0, 65536);
        using (MountedFile file = mount.Open(Direct))
        {
            file.Write(0, data);
            server.Kill();
            Task<byte[]> read = Task.Run(() => file.Read(0, 65536));
            await Deadline.Until(() => mount.Error.Contains("the server is lost, reconnecting"), "the loss to be noticed");
            await server.RestartAsync();
            PatternData.AssertEqual(data, await Deadline.Within(read, "the read"));
        }

        // Threads that were made since then have no more.
        AssertHasOnly(mount.Id, Mount | Capabilities.DacOverride);
        Assert.Equal(ending == "TERM" ? 1 : 0, ending == "TERM" ? await mount.EndBySignalAsync("TERM") : await mount.UnmountAsync());
        Assert.False(MountedNbdfuse.IsMounted(mount.MountPoint));
        PatternData.AssertEqual(data, server.ReadBacking(0, 65536));
    }

    [Fact]
    public async Task Mountpoint_in_a_directory_of_somebody_else_is_unmounted()
    {
        Requires.Root();
        await using RealServer server = await RealServers.Nbdkit(ServerTransport.Tcp, "memory", "1M");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        (await Tool.RunAsync("chown", "65534", mount.Directory.Path)).EnsureSuccess();
        File.SetUnixFileMode(mount.Directory.Path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        Assert.Equal(1, await mount.EndBySignalAsync("TERM"));
        Assert.False(MountedNbdfuse.IsMounted(mount.MountPoint));
    }

    [Fact]
    public async Task Attached_device_keeps_what_its_end_needs_and_no_thread_has_more()
    {
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Size = 8 << 20 });
        string script = "label: gpt\n,2M\n";
        (await Tool.RunAsync("sh", "-c", $"printf '{script}' | {Requires.Command("sfdisk")} -q {server.BackingFile}")).EnsureSuccess();
        await using AttachedDevice device = await AttachedDevice.StartAsync(server.Uri);

        // Its keeper keeps all, since the next process must be able to set itself up.
        bool isUnix = server.Uri.Contains("unix", StringComparison.Ordinal);
        AssertHasOnly(device.Worker, isUnix ? Device | Capabilities.DacOverride : Device);
        Assert.Equal(0, (int)(File.GetUnixFileMode(device.EntryDirectory + "/state.json") & (UnixFileMode)0x3F));
        server.Kill();
        Task<ToolResult> write = Tool.RunAsync("dd", "if=/dev/urandom", $"of={device.Path}p1", "bs=64k", "count=4", "oflag=direct", "status=none");
        await server.RestartAsync();
        (await Deadline.Within(write, "the write")).EnsureSuccess();
        AssertHasOnly(device.Worker, isUnix ? Device | Capabilities.DacOverride : Device);

        // Partitions and loop device are taken away by helpers of the daemon.
        await device.DetachCleanlyAsync();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Process_with_keys_lets_nobody_look_into_it(bool isRoot)
    {
        Requires.Root();
        using var directory = new TempDirectory();
        string key = directory.CreateFile("keys.psk", File.ReadAllBytes(pki.SinglePskFile));
        (await Tool.RunAsync("chmod", "-R", "a+rX", directory.Path)).EnsureSuccess();
        await using RealServer server = await RealServers.Nbdkit(ServerTransport.Tcp, "--tls=require", $"--tls-psk={pki.PskFile}", "memory", "1M");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(new MountStart
        {
            Options = ["--tls=require", $"--tls-psk={key}"],
            Mode = [server.Uri],
            Unprivileged = !isRoot,
        });

        // What /proc shows of a process that cannot be looked into belongs to root, whoever runs it.
        Assert.True(Posix.Stat($"/proc/{mount.Id}/environ", out FileStatus status) >= 0);
        Assert.Equal(0u, status.Uid);
        if (!isRoot)
        {
            ToolResult look = await Tool.RunAsync(
                MountedNbdfuse.Unprivileged[0], [.. MountedNbdfuse.Unprivileged[1..], "head", "-c1", $"/proc/{mount.Id}/environ"]);
            Assert.NotEqual(0, look.ExitCode);
        }

        Assert.Equal(1, await mount.EndBySignalAsync("TERM"));
        Assert.False(MountedNbdfuse.IsMounted(mount.MountPoint));
    }

    [Fact]
    public async Task Descriptors_that_nobody_meant_for_it_are_closed()
    {
        using var directory = new TempDirectory();
        string file = directory.CreateFile("held", 1);
        await using RealServer server = await RealServers.Nbdkit(ServerTransport.Tcp, "memory", "1M");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(new MountStart
        {
            Prefix = ["/bin/sh", "-c", "exec 7<\"$1\"; shift; exec \"$@\"", "sh", file],
            Mode = [server.Uri],
        });
        Assert.DoesNotContain(
            file, Directory.EnumerateFileSystemEntries($"/proc/{mount.Id}/fd").Select(fd => File.ResolveLinkTarget(fd, false)?.FullName));
        await mount.UnmountCleanlyAsync();
    }

    private static void AssertHasOnly(int process, Capabilities wanted)
    {
        // In a container root itself may have less.
        ulong own = Value("/proc/self/status", "CapEff:");
        ulong most = own & (ulong)wanted;
        string[] threads = Directory.GetDirectories($"/proc/{process}/task");
        Assert.True(threads.Length > 3, $"only {threads.Length} threads");
        foreach (string thread in threads)
        {
            string status = Path.Combine(thread, "status");
            Assert.Equal(most, Value(status, "CapEff:"));
            Assert.Equal(most, Value(status, "CapPrm:"));
            Assert.Equal(0ul, Value(status, "CapBnd:") & ~(ulong)wanted);
            Assert.Equal(0ul, Value(status, "CapAmb:"));
            Assert.Equal(1ul, Value(status, "NoNewPrivs:"));
        }
    }

    private static ulong Value(string path, string field) => ulong.Parse(
        File.ReadLines(path).First(line => line.StartsWith(field, StringComparison.Ordinal))[field.Length..].Trim(),
        NumberStyles.AllowHexSpecifier,
        CultureInfo.InvariantCulture);
}
