using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using NbdFuse.Native;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>Block devices from exports, and the file systems on them.</summary>
public sealed class AttachTests
{
    [Theory]
    [InlineData(RealServerKind.Nbdkit)]
    [InlineData(RealServerKind.Embedded)]
    public async Task Ext4_on_an_attached_device_is_whole_after_detaching(RealServerKind kind)
    {
        Requires.Command("mkfs.ext4");
        await using RealServer server = await RealServers.StartAsync(kind, new RealServerOptions { Size = 64 << 20 });
        await using AttachedDevice device = await AttachedDevice.StartAsync(server.Uri);
        byte[] payload = PatternData.Create(7, 0, 8 << 20);
        string root = Directory.CreateDirectory(device.Directory["fs"]).FullName;
        (await Tool.RunAsync("mkfs.ext4", "-q", device.Path)).EnsureSuccess();
        (await Tool.RunAsync("mount", device.Path, root)).EnsureSuccess();
        await File.WriteAllBytesAsync(Path.Combine(root, "payload"), payload);
        (await Tool.RunAsync("umount", root)).EnsureSuccess();
        (await Tool.RunAsync("e2fsck", "-fn", device.Path)).EnsureSuccess();

        JsonElement status = device.Status();
        Assert.Equal("online", status.GetProperty("state").GetString());
        Assert.Equal(64 << 20, status.GetProperty("size").GetInt64());
        JsonElement write = status.GetProperty("operations").EnumerateArray().Single(o => o.GetProperty("operation").GetString() == "write");
        Assert.True(write.GetProperty("bytes").GetInt64() >= payload.Length);
        Assert.Equal(0, write.GetProperty("errors").GetInt64());
        AssertDetails(status, payload.Length);
        await device.DetachCleanlyAsync();

        string copy = device.Directory["copy"];
        File.Copy(server.BackingFile!, copy);
        (await Tool.RunAsync("e2fsck", "-fn", copy)).EnsureSuccess();
        (await Tool.RunAsync("debugfs", "-R", $"dump payload {device.Directory["back"]}", copy)).EnsureSuccess();
        FileContent.AssertEqual(payload, device.Directory["back"]);
    }

    [Theory]
    [InlineData("gpt", "p1 p2")]
    [InlineData("dos", "p1 p5")]
    public async Task Partitions_have_nodes_when_attach_returns_and_none_after_detaching(string label, string expected)
    {
        Requires.Command("sfdisk");
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Size = 32 << 20 });
        string script = label == "gpt" ? "label: gpt\n,8M\n,8M\n" : "label: dos\n1: start=2048, size=8M, type=L\n2: size=16M, type=E\n5: size=4M, type=L\n";
        (await Tool.RunAsync("sh", "-c", $"printf '{script}' | {Requires.Command("sfdisk")} -q {server.BackingFile}")).EnsureSuccess();
        await using AttachedDevice device = await AttachedDevice.StartAsync(server.Uri);
        string[] nodes = [.. expected.Split(' ').Select(suffix => device.Path + suffix)];

        Assert.All(nodes, node => Assert.True(Posix.Stat(node, out FileStatus status) >= 0 && status.IsBlockDevice, node));
        using (var first = new MountedFile(nodes[0], OpenFlags.ReadWrite))
        {
            Assert.Equal(8 << 20, first.Seek(0, Posix.SeekEnd));
            first.Write(4096, PatternData.Create(3, 0, 4096));
            Assert.Equal(0, first.Fsync());
        }

        Assert.Equal(PatternData.Create(3, 0, 4096), server.ReadBacking((1 << 20) + 4096, 4096));
        await device.DetachCleanlyAsync();
        Assert.All(nodes, node => Assert.False(File.Exists(node), node));
    }

    [Fact]
    public async Task Read_only_device_refuses_writes()
    {
        await using RealServer server = await RealServers.Nbdkit("memory", "8M");
        await using AttachedDevice device = await AttachedDevice.StartAsync(server.Uri, "-r");

        Assert.True(device.Status().GetProperty("read-only").GetBoolean());
        int fd = Posix.Open(device.Path, OpenFlags.ReadWrite);
        if (fd >= 0)
        {
            using FileDescriptor open = FileDescriptor.Own(fd);
            Assert.True(Posix.PWrite(fd, new byte[512], 0) < 0);
        }

        Assert.Equal("1", (await File.ReadAllTextAsync($"/sys/block/{Path.GetFileName(device.Path)}/ro")).Trim());
        await device.DetachCleanlyAsync();
    }

    [Fact]
    public async Task Discard_and_flush_reach_the_server_as_write_zeroes_and_flush()
    {
        await using NbdkitLog server = await NbdkitLog.StartAsync("memory", "16M");
        await using AttachedDevice device = await AttachedDevice.StartAsync(server.Uri);

        (await Tool.RunAsync("blkdiscard", "-o", "1M", "-l", "2M", device.Path)).EnsureSuccess();
        (await Tool.RunAsync("blkdiscard", "-z", "-o", "4M", "-l", "1M", device.Path)).EnsureSuccess();
        int flushes = server.Requests("Flush").Length;
        (await Tool.RunAsync("dd", "if=/dev/zero", $"of={device.Path}", "bs=4k", "count=1", "conv=fsync,notrunc", "status=none")).EnsureSuccess();

        Assert.True(server.Requests("Flush").Length > flushes);
        Assert.Empty(server.Requests("Trim"));
        Assert.Contains(server.Requests("Zero"), line => line.Contains("offset=0x100000", StringComparison.Ordinal));
        Assert.Contains(server.Requests("Zero"), line => line.Contains("offset=0x400000", StringComparison.Ordinal));
        await device.DetachCleanlyAsync();
    }

    [Fact]
    public async Task Fstrim_frees_blocks_on_the_server()
    {
        Requires.Command("fstrim");
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Size = 64 << 20 });
        await using AttachedDevice device = await AttachedDevice.StartAsync(server.Uri);
        string root = Directory.CreateDirectory(device.Directory["fs"]).FullName;
        (await Tool.RunAsync("mkfs.ext4", "-q", device.Path)).EnsureSuccess();
        (await Tool.RunAsync("mount", device.Path, root)).EnsureSuccess();
        string payload = Path.Combine(root, "payload");
        await File.WriteAllBytesAsync(payload, PatternData.Create(8, 0, 24 << 20));
        (await Tool.RunAsync("sync", "-f", root)).EnsureSuccess();
        long full = Blocks(server.BackingFile!);
        File.Delete(payload);
        (await Tool.RunAsync("sync", "-f", root)).EnsureSuccess();
        (await Tool.RunAsync("fstrim", root)).EnsureSuccess();

        Assert.True(Blocks(server.BackingFile!) * 512 < (full * 512) - (20 << 20), "fstrim freed nothing");
        (await Tool.RunAsync("umount", root)).EnsureSuccess();
        await device.DetachCleanlyAsync();
    }

    [Fact]
    public async Task Attach_in_the_foreground_prints_the_device_and_ends_with_it()
    {
        Requires.Loop();
        await using RealServer server = await RealServers.Nbdkit("memory", "8M");
        using var directory = new TempDirectory();
        using var socket = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
        socket.Bind(new UnixDomainSocketEndPoint(directory["notify"]));
        await using var tool = new BackgroundTool(
            NbdfuseProgram.FullPath,
            ["attach", "--foreground", server.Uri],
            new Dictionary<string, string?> { ["NBDFUSE_RUNTIME_DIR"] = directory["run"], ["NOTIFY_SOCKET"] = directory["notify"] });
        await Deadline.Until(() => tool.HasExited || tool.Output.EndsWith('\n'), "the device");
        string device = tool.Output.Trim();
        Assert.StartsWith("/dev/loop", device, StringComparison.Ordinal);
        Assert.StartsWith("STATUS=connecting to ", await NotifiedAsync(socket), StringComparison.Ordinal);
        Assert.Equal($"READY=1\nSTATUS=serving {device}", await NotifiedAsync(socket));
        try
        {
            using (new MountedFile(device, OpenFlags.ReadOnly))
            {
                tool.Signal("INT");
                await Deadline.Until(() => tool.Error.Contains("signal SIGINT is ignored", StringComparison.Ordinal), "the signal to be noticed");
                Assert.Contains($"{device} is open in process {Environment.ProcessId} ", tool.Error, StringComparison.Ordinal);
            }

            tool.Signal("INT");
            Assert.Equal(0, await Deadline.Within(tool.WaitForExitAsync(CancellationToken.None), "the end"));
            Assert.Equal($"{device}\n", tool.Output);
            Assert.Equal("STOPPING=1", await NotifiedAsync(socket));
            Assert.Empty(Directory.GetFileSystemEntries(directory["run"]));
        }
        finally
        {
            if (!tool.HasExited)
            {
                await AttachedDevice.RunAsync(directory, "detach", "--force", device);
            }
        }
    }

    [Fact]
    public async Task Attach_that_fails_says_why_and_leaves_nothing()
    {
        Requires.Loop();
        using var directory = new TempDirectory();
        ToolResult refused = await AttachedDevice.RunAsync(directory, "attach", $"nbd+unix:///?socket={directory["none"]}");
        Assert.Equal((1, string.Empty), (refused.ExitCode, refused.Output));
        Assert.StartsWith("nbdfuse: ", refused.Error, StringComparison.Ordinal);
        Assert.Contains(directory["none"], refused.Error, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFileSystemEntries(directory["run"]));

        // The server dies while the kernel looks for partitions.
        await using var server = new ScriptedNbdServer(async script =>
        {
            await script.Handshake();
            await script.ReadRequest();
        });
        ToolResult lost = await AttachedDevice.RunAsync(directory, "attach", "--reconnect-timeout=0", server.Uri);
        Assert.Equal((1, string.Empty), (lost.ExitCode, lost.Output));
        Assert.Equal(1, lost.Error.Split('\n').Count(line => line.StartsWith("nbdfuse: ", StringComparison.Ordinal) && !line.Contains("warning", StringComparison.Ordinal)));
        Assert.Empty(Directory.GetFileSystemEntries(directory["run"]));
    }

    [Fact]
    public async Task Loop_device_takes_over_the_new_size_of_its_file()
    {
        Requires.Loop();
        using var directory = new TempDirectory();
        string file = directory.CreateFile("disk", 1 << 20);
        await using LoopDevice loop = await LoopDevice.AttachAsync(file);
        using (FileStream grow = File.OpenWrite(file))
        {
            grow.SetLength(2 << 20);
        }

        NbdFuse.Attach.LoopDevice.UpdateCapacity(loop.Path);
        using var device = new MountedFile(loop.Path, OpenFlags.ReadOnly);
        Assert.Equal(2 << 20, device.Seek(0, Posix.SeekEnd));
    }

    private static async Task<string> NotifiedAsync(Socket socket)
    {
        byte[] buffer = new byte[4096];
        int count = await Deadline.Within(socket.ReceiveAsync(buffer), "a message to systemd");
        return Encoding.UTF8.GetString(buffer, 0, count);
    }

    private static long Blocks(string path)
    {
        PosixException.Check(Posix.Stat(path, out FileStatus status), path);
        return status.Blocks;
    }

    // What was written reached the server, on connections that say so.
    private static void AssertDetails(JsonElement status, long bytes)
    {
        JsonElement atServer = status.GetProperty("server-operations").EnumerateArray().Single(o => o.GetProperty("operation").GetString() == "write");
        JsonElement latency = atServer.GetProperty("latency");
        JsonElement[] connections = [.. status.GetProperty("connection-details").EnumerateArray()];
        Assert.True(atServer.GetProperty("bytes").GetInt64() >= bytes);
        Assert.Equal(
            atServer.GetProperty("requests").GetInt64(),
            latency.GetProperty("histogram").EnumerateArray().Sum(bucket => bucket.GetProperty("count").GetInt64()));
        Assert.Equal(status.GetProperty("connections").GetInt32(), connections.Length);
        Assert.All(connections, connection => Assert.Equal("usable", connection.GetProperty("state").GetString()));
        Assert.True(connections.Sum(connection => connection.GetProperty("written-bytes").GetInt64()) >= bytes);
        Assert.True(status.GetProperty("queue").GetProperty("peak-in-flight").GetInt32() > 0);
        Assert.False(status.TryGetProperty("cache", out _));
    }
}
