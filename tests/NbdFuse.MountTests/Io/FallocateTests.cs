using NbdFuse.Native;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>Holes and zeroes: what reads back, and which request the server saw.</summary>
public sealed class FallocateTests
{
    private const int Size = 1 << 20;
    private const int Punch = Posix.FallocatePunchHole | Posix.FallocateKeepSize;

    [Fact]
    public async Task Punched_hole_reads_as_zeroes_and_is_never_a_trim()
    {
        await using NbdkitLog server = await NbdkitLog.StartAsync("memory", "1M");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        byte[] content = Fill(mount);
        (await Tool.RunAsync("fallocate", "-p", "-o", "65536", "-l", "131072", mount.FilePath)).EnsureSuccess();

        Array.Clear(content, 65536, 131072);
        FileContent.AssertEqual(content, mount.FilePath);
        string zero = Assert.Single(server.Requests("Zero"));
        Assert.Contains("offset=0x10000 count=0x20000 trim=1", zero);
        Assert.Empty(server.Requests("Trim"));
    }

    [Fact]
    public async Task Zeroed_range_reads_as_zeroes_and_stays_allocated()
    {
        await using NbdkitLog server = await NbdkitLog.StartAsync("memory", "1M");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        byte[] content = Fill(mount);
        (await Tool.RunAsync("fallocate", "-z", "-o", "4096", "-l", "8192", mount.FilePath)).EnsureSuccess();

        Array.Clear(content, 4096, 8192);
        FileContent.AssertEqual(content, mount.FilePath);

        // NO_HOLE is the absence of nbdkit's permission to trim.
        Assert.Contains("offset=0x1000 count=0x2000 trim=0", Assert.Single(server.Requests("Zero")));
        Assert.Empty(server.Requests("Trim"));
    }

    [Fact]
    public async Task Punch_as_trim_sends_a_trim_when_it_was_asked_for()
    {
        await using NbdkitLog server = await NbdkitLog.StartAsync("memory", "1M");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri, "--punch=trim");
        using MountedFile file = mount.Open();
        Assert.Equal(0, file.Fallocate(Punch, 65536, 65536));
        Assert.Equal(0, file.Fallocate(Posix.FallocateZeroRange, 0, 4096));
        Assert.Contains("offset=0x10000 count=0x10000", Assert.Single(server.Requests("Trim")));
        Assert.Single(server.Requests("Zero"));
    }

    [Fact]
    public async Task Reserving_and_collapsing_are_refused_and_change_nothing()
    {
        const int CollapseRange = 8;
        const int InsertRange = 0x20;
        await using RealServer server = await RealServers.Nbdkit("memory", "1M");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        byte[] content = Fill(mount);
        ToolResult tool = await Tool.RunAsync("fallocate", "-l", "2M", mount.FilePath);
        tool.EnsureExit(1);
        Assert.Contains("not supported", tool.Error);
        using (MountedFile file = mount.Open())
        {
            Assert.Equal(-Errno.EOPNOTSUPP, file.Fallocate(0, 0, Size));
            Assert.Equal(-Errno.EOPNOTSUPP, file.Fallocate(CollapseRange, 0, 4096));
            Assert.Equal(-Errno.EOPNOTSUPP, file.Fallocate(InsertRange, 0, 4096));
        }

        FileContent.AssertEqual(content, mount.FilePath);
    }

    [Fact]
    public async Task Ranges_across_the_end_are_cut_for_holes_and_refused_for_zeroes_that_would_grow_the_file()
    {
        await using RealServer server = await RealServers.Nbdkit("memory", "1M");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        byte[] content = Fill(mount);
        using MountedFile file = mount.Open();
        Assert.Equal(0, file.Fallocate(Punch, Size - 4096, 65536));
        Array.Clear(content, Size - 4096, 4096);
        Assert.Equal(-Errno.ENOSPC, file.Fallocate(Posix.FallocateZeroRange, Size - 8192, 65536));
        Assert.Equal(0, file.Fallocate(Posix.FallocateZeroRange | Posix.FallocateKeepSize, Size - 8192, 65536));
        Array.Clear(content, Size - 8192, 8192);
        PatternData.AssertEqual(content, file.Read(0, Size));
        Assert.Equal(Size, new FileInfo(mount.FilePath).Length);
    }

    [Fact]
    public async Task Server_without_write_zeroes_refuses_holes_and_gets_zeroes_written()
    {
        await using NbdkitLog server = await NbdkitLog.StartAsync("--filter=nozero", "memory", "1M");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        byte[] content = Fill(mount);
        using MountedFile file = mount.Open();
        Assert.Equal(-Errno.EOPNOTSUPP, file.Fallocate(Punch, 0, 65536));
        PatternData.AssertEqual(content, file.Read(0, Size));
        Assert.Equal(0, file.Fallocate(Posix.FallocateZeroRange, 1000, 200_000));
        Array.Clear(content, 1000, 200_000);
        PatternData.AssertEqual(content, file.Read(0, Size));
        Assert.Empty(server.Requests("Zero"));
        Assert.Empty(server.Requests("Trim"));
    }

    private static byte[] Fill(MountedNbdfuse mount)
    {
        byte[] content = PatternData.Create(1, 0, Size);
        using MountedFile file = mount.Open();
        file.Write(0, content);
        return content;
    }
}
