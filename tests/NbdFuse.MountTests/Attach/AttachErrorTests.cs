using NbdFuse.Native;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>What attach says when it cannot, and machines that lack something.</summary>
public sealed class AttachErrorTests
{
    [Theory]
    [InlineData("nbd://127.0.0.1:1/", "127.0.0.1")]
    [InlineData("nbd+unix:///?socket=/nonexistent/socket", "/nonexistent/socket")]
    [InlineData("nbd+unix:///name", "socket")]
    [InlineData("http://localhost/", "nbd://")]
    [InlineData("nbds://localhost/?tls-certificates=/nonexistent", "/nonexistent/ca-cert.pem")]
    public async Task Wrong_uri_is_explained_in_one_line(string uri, string expected)
    {
        Requires.Fuse();
        Requires.Loop();
        using var directory = new TempDirectory();
        ToolResult result = await AttachedDevice.RunAsync(directory, "attach", uri);
        Assert.Equal((1, string.Empty), (result.ExitCode, result.Output));
        Assert.StartsWith("nbdfuse: ", result.Error, StringComparison.Ordinal);
        Assert.Contains(expected, result.Error, StringComparison.Ordinal);
        Assert.Equal(1, result.Error.Count(c => c == '\n'));
        Assert.True(!Directory.Exists(directory["run"]) || Directory.GetFileSystemEntries(directory["run"]).Length == 0);
    }

    [Fact]
    public async Task Runtime_directory_whose_path_is_too_long_for_sockets_is_explained()
    {
        Requires.Fuse();
        Requires.Loop();
        await using RealServer server = await RealServers.Nbdkit("memory", "1M");
        using var directory = new TempDirectory();
        await using var tool = new BackgroundTool(
            NbdfuseProgram.FullPath,
            ["attach", server.Uri],
            new Dictionary<string, string?> { ["NBDFUSE_RUNTIME_DIR"] = directory[new string('x', 90)] });
        Assert.Equal(1, await Deadline.Within(tool.WaitForExitAsync(CancellationToken.None), "attach to refuse"));
        Assert.Contains("NBDFUSE_RUNTIME_DIR", tool.Error, StringComparison.Ordinal);
        Assert.Equal(1, tool.Error.Count(c => c == '\n'));
    }

    [Fact]
    public async Task Unknown_export_is_explained()
    {
        await using RealServer server = await RealServers.NbdServer(new RealServerOptions { ExportName = "there" });
        using var directory = new TempDirectory();
        ToolResult result = await AttachedDevice.RunAsync(directory, "attach", NbdUris.For(server.EndPoint, "not-there"));
        Assert.Equal(1, result.ExitCode);
        Assert.Contains("not-there", result.Error, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFileSystemEntries(directory["run"]));
    }

    [Fact]
    public async Task Device_that_was_asked_for_is_used_or_refused()
    {
        await using RealServer server = await RealServers.Nbdkit("memory", "4M");

        // A number that nobody gets by asking for a free one.
        int number = 1000 + (Environment.ProcessId % 1000);
        try
        {
            await using AttachedDevice device = await AttachedDevice.StartAsync(server.Uri, $"--device=/dev/loop{number}");
            Assert.Equal($"/dev/loop{number}", device.Path);
            ToolResult taken = await device.RunAsync("attach", $"--device={device.Path}", server.Uri);
            Assert.Equal(1, taken.ExitCode);
            Assert.Contains($"{device.Path} is in use already", taken.Error, StringComparison.Ordinal);
            Assert.Single(Directory.GetDirectories(device.RuntimeDirectory));
            await device.DetachCleanlyAsync();
        }
        finally
        {
            using FileDescriptor control = FileDescriptor.OwnOrThrow(Posix.Open("/dev/loop-control", OpenFlags.ReadWrite), "/dev/loop-control");
            Posix.Ioctl(control.Value, NbdFuse.Native.Block.BlockConstants.LoopControlRemove, number);
        }
    }

    [Fact]
    public async Task Machine_without_udev_gets_the_nodes_of_device_and_partitions()
    {
        Requires.Fuse();
        Requires.Loop();
        Requires.Command("unshare");
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Size = 16 << 20 });
        (await Tool.RunAsync("sh", "-c", $"printf 'label: dos\\n,4M\\n,4M\\n' | {Requires.Command("sfdisk")} -q {server.BackingFile}")).EnsureSuccess();
        ToolResult result = await InPrivateDevAsync("mknod /dev/loop-control c 10 237", $"""
            set -e
            device=$({NbdfuseProgram.FullPath} attach {server.Uri})
            ls /dev >&2
            test -b $device && test -b ${"{device}"}p1 && test -b ${"{device}"}p2
            dd if=$device of=/dev/null bs=4k count=16 status=none
            {NbdfuseProgram.FullPath} detach ${"{device}"}p1
            test ! -e ${"{device}"}p1
            test -z "$(ls -A $NBDFUSE_RUNTIME_DIR)"
            """);
        result.EnsureSuccess();
    }

    [Fact]
    public async Task Machine_without_loop_devices_says_how_to_get_them()
    {
        Requires.Fuse();
        Requires.Loop();
        Requires.Command("unshare");
        await using RealServer server = await RealServers.Nbdkit("memory", "4M");
        ToolResult result = await InPrivateDevAsync("true", $"{NbdfuseProgram.FullPath} attach --driver=fuse {server.Uri}; test $? = 1; ls -A $NBDFUSE_RUNTIME_DIR");
        result.EnsureSuccess();
        Assert.Contains("modprobe loop", result.Error, StringComparison.Ordinal);
        Assert.Equal(string.Empty, result.Output);
    }

    // A mount namespace with a /dev of its own, in which nobody makes nodes.
    private static async Task<ToolResult> InPrivateDevAsync(string prepare, string script)
    {
        using var directory = new TempDirectory();
        return await Tool.RunAsync("unshare", "-m", "sh", "-c", $"""
            export NBDFUSE_RUNTIME_DIR={directory["run"]}
            mount -t tmpfs none /dev || exit 70
            mknod /dev/null c 1 3; mknod /dev/zero c 1 5; mknod /dev/urandom c 1 9; mknod /dev/random c 1 8; mknod /dev/fuse c 10 229
            {prepare}
            {script}
            """);
    }
}
