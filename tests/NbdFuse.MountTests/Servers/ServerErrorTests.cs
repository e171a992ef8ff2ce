using NbdFuse.Native;
using NbdFuse.Protocol;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>Errors of the server, and servers that break the protocol under a mount.</summary>
public sealed class ServerErrorTests
{
    private static readonly byte[] Garbage = [.. Enumerable.Repeat((byte)0x5a, 64)];

    [Theory]
    [InlineData("EIO", Errno.EIO)]
    [InlineData("ENOMEM", Errno.ENOMEM)]
    [InlineData("EINVAL", Errno.EINVAL)]
    public async Task Error_of_a_read_reaches_the_reader(string name, int errno)
    {
        await using RealServer server = await RealServers.Nbdkit(
            "--filter=error", "memory", "1M", $"error-pread={name}", "error-pread-rate=100%");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        using MountedFile file = mount.Open(OpenFlags.ReadOnly | OpenFlags.Direct);
        Assert.Equal(-errno, file.TryRead(0, new byte[4096]));
        Assert.Equal(-errno, file.TryRead(0, new byte[256 * 1024]));
        file.Dispose();
        await mount.UnmountCleanlyAsync();
    }

    [Theory]
    [InlineData("ENOSPC", Errno.ENOSPC)]
    [InlineData("EIO", Errno.EIO)]
    [InlineData("EPERM", Errno.EPERM)]
    public async Task Error_of_a_write_reaches_the_writer(string name, int errno)
    {
        await using RealServer server = await RealServers.Nbdkit(
            "--filter=error", "memory", "1M", $"error-pwrite={name}", "error-pwrite-rate=100%");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        foreach (OpenFlags flags in new[] { OpenFlags.ReadWrite, OpenFlags.ReadWrite | OpenFlags.Direct })
        {
            using MountedFile file = mount.Open(flags);
            Assert.Equal(-errno, file.TryWrite(0, new byte[4096]));
        }

        ToolResult dd = await Tool.RunAsync("dd", "if=/dev/zero", $"of={mount.FilePath}", "bs=4k", "count=1", "conv=notrunc");
        dd.EnsureExit(1);
        PatternData.AssertZero(await File.ReadAllBytesAsync(mount.FilePath));
        await mount.UnmountCleanlyAsync();
    }

    [Fact]
    public async Task Error_goes_with_its_cause_and_the_mount_goes_on()
    {
        using var directory = new TempDirectory();
        string trigger = directory.CreateFile("trigger", 0);
        await using RealServer server = await RealServers.Nbdkit(
            "--filter=error", "memory", "1M", "error=EIO", "error-rate=100%", $"error-file={trigger}");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        using MountedFile file = mount.Open(OpenFlags.ReadWrite | OpenFlags.Direct);
        Assert.Equal(-Errno.EIO, file.TryRead(0, new byte[4096]));
        Assert.Equal(-Errno.EIO, file.TryWrite(0, new byte[4096]));
        File.Delete(trigger);
        file.Write(0, PatternData.Create(1, 0, 4096));
        PatternData.AssertEqual(PatternData.Create(1, 0, 4096), file.Read(0, 4096));
    }

    public static TheoryData<string> Lies => ["cookie", "magic", "close", "half header", "half data", "wrong length", "wrong offset"];

    [Theory]
    [MemberData(nameof(Lies))]
    public async Task Server_that_breaks_the_protocol_gives_its_readers_errors_and_the_unmount_works(string lie)
    {
        await using var server = new ScriptedNbdServer(async script =>
        {
            await script.Handshake();
            ScriptedRequest request = await script.ExpectRequest(NbdCommand.Read);
            if (lie == "close")
            {
                script.Close();
                return;
            }

            await Lie(script, request, lie);
            await script.DiscardUntilClose();
        });
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri, "--reconnect-timeout=0");
        using (MountedFile file = mount.Open(OpenFlags.ReadOnly | OpenFlags.Direct))
        {
            Assert.Equal(-Errno.EIO, file.TryRead(0, new byte[4096]));

            // For good: the connection is gone, and no other is made.
            Assert.Equal(-Errno.EIO, file.TryRead(8192, new byte[4096]));
        }

        Assert.False(mount.HasExited);
        // Nothing was written, so nothing can be lost.
        Assert.Equal(0, await mount.UnmountAsync());
        Assert.DoesNotContain("internal error", mount.Error);
        Assert.DoesNotContain("   at ", mount.Error);
    }

    [Fact]
    public async Task Handshake_that_stops_in_the_middle_is_an_error_and_no_mount()
    {
        await using RealServer real = await RealServers.Nbdkit("memory", "1M");
        foreach (int bytes in new[] { 1, 17, 18, 19, 40 })
        {
            await using var proxy = new FaultProxy(real) { ToClient = _ => new FaultPlan { DropAfter = bytes } };
            await using MountedNbdfuse mount = MountedNbdfuse.Launch(new MountStart { Mode = [proxy.Uri] });
            Assert.Equal(1, await mount.WaitForExitAsync());
            OneLine.AssertError(mount.Error);
            Assert.False(MountedNbdfuse.IsMounted(mount.MountPoint));
        }
    }

    [Fact]
    public async Task Bytes_one_by_one_make_no_difference()
    {
        byte[] content = PatternData.Create(2, 0, 65536);
        await using RealServer real = await RealServers.NbdkitFile(new RealServerOptions { Content = content });
        await using var proxy = new FaultProxy(real)
        {
            ToClient = _ => new FaultPlan { PieceSize = 7 },
            ToServer = _ => new FaultPlan { PieceSize = 5 },
        };
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(proxy.Uri);
        using (MountedFile file = mount.Open())
        {
            PatternData.AssertEqual(content, file.Read(0, content.Length));
            file.Write(1000, PatternData.Create(3, 1000, 5000));
        }

        PatternData.AssertEqual(PatternData.Create(3, 1000, 5000), real.ReadBacking(1000, 5000));
        await mount.UnmountCleanlyAsync();
    }

    [Fact]
    public async Task Silent_server_at_the_start_is_left_by_a_signal()
    {
        var connected = new TaskCompletionSource();
        await using var server = new ScriptedNbdServer(async script =>
        {
            connected.TrySetResult();
            await script.StaySilent();
        });
        await using MountedNbdfuse mount = MountedNbdfuse.Launch(new MountStart { Mode = [server.Uri] });
        await Deadline.Within(connected.Task, "nbdfuse to connect");
        Assert.Equal(1, await mount.EndBySignalAsync("TERM"));
        Assert.DoesNotContain("internal error", mount.Error);
        Assert.False(MountedNbdfuse.IsMounted(mount.MountPoint));
    }

    private static async Task Lie(NbdScript script, ScriptedRequest request, string lie)
    {
        byte[] data = new byte[request.Length];
        switch (lie)
        {
            case "cookie":
                await script.SendDataChunk(request.Cookie ^ 0x1000, request.Offset, data, done: true);
                break;
            case "magic":
                await script.SendAsync(Garbage);
                break;
            case "half header":
                await script.SendAsync(new byte[] { 0x66, 0x8e, 0x33 });
                script.ShutdownSend();
                break;
            case "half data":
                byte[] header = new byte[NbdStructuredReplyHeader.Size + NbdOffsetDataChunk.Size + 100];
                NbdStructuredReplyHeader.Write(
                    header, NbdReplyFlags.Done, NbdReplyType.OffsetData, request.Cookie, (uint)(NbdOffsetDataChunk.Size + request.Length));
                NbdOffsetDataChunk.Write(header.AsSpan(NbdStructuredReplyHeader.Size), (ulong)request.Offset);
                await script.SendAsync(header);
                script.ShutdownSend();
                break;
            case "wrong length":
                await script.SendDataChunk(request.Cookie, request.Offset, new byte[request.Length * 2], done: true);
                break;
            case "wrong offset":
                await script.SendDataChunk(request.Cookie, request.Offset + 65536, data, done: true);
                break;
            default:
                throw new ArgumentOutOfRangeException(nameof(lie));
        }
    }
}
