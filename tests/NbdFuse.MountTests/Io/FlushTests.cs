using NbdFuse.Native;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>When the server is told to make writes durable.</summary>
public sealed class FlushTests
{
    [Fact]
    public async Task Fsync_is_answered_after_the_server_has_flushed()
    {
        await using NbdkitLog server = await NbdkitLog.StartAsync("memory", "1M");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        using MountedFile file = mount.Open();
        file.Write(0, PatternData.Create(1, 0, 4096));
        Assert.Empty(server.Requests("Flush"));
        Assert.Equal(0, file.Fsync());
        Assert.Contains(server.Lines, line => line.Contains("...Flush") && line.EndsWith("return=0"));

        // In the log, too, the write stands before the flush.
        string[] order = [.. server.Lines.Where(line => line.Contains("...Write id=") || line.Contains(" Flush id="))];
        Assert.Contains("...Write", order[0]);
        Assert.Contains("Flush", order[^1]);
    }

    [Fact]
    public async Task Close_after_a_write_flushes_and_close_after_a_read_does_not()
    {
        await using NbdkitLog server = await NbdkitLog.StartAsync("memory", "1M");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        using (MountedFile file = mount.Open(OpenFlags.ReadOnly))
        {
            file.Read(0, 4096);
        }

        Assert.Empty(server.Requests("Flush"));
        using (MountedFile file = mount.Open())
        {
            file.Write(0, PatternData.Create(1, 0, 4096));
        }

        Assert.NotEmpty(server.Requests("Flush"));
    }

    [Fact]
    public async Task Synchronous_direct_write_is_durable_when_it_returns()
    {
        await using NbdkitLog server = await NbdkitLog.StartAsync("memory", "1M");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        using MountedFile file = mount.Open(OpenFlags.ReadWrite | OpenFlags.Direct | OpenFlags.DataSync);
        file.Write(0, PatternData.Create(1, 0, 4096));
        Assert.True(
            server.Requests("Write").Any(line => line.Contains("fua=1")) || server.Requests("Flush").Length > 0,
            string.Join('\n', server.Lines));
    }

    [Fact]
    public async Task Failed_flush_reaches_the_caller_of_fsync()
    {
        await using RealServer server = await RealServers.Nbdkit(
            "eval", "get_size=echo 1048576", "pread=head -c $3 /dev/zero", "pwrite=cat >/dev/null", "can_write=exit 0",
            "can_flush=exit 0", "flush=echo EIO no disk >&2; exit 1");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        using MountedFile file = mount.Open();
        file.Write(0, PatternData.Create(1, 0, 4096));
        Assert.Equal(-Errno.EIO, file.Fsync());
        file.Dispose();

        // What may be lost is said at the end, too.
        Assert.Equal(1, await mount.UnmountAsync());
        Assert.Contains("flush", mount.Error);
    }

    [Fact]
    public async Task Server_without_flush_is_written_and_synced_and_unmounted_cleanly()
    {
        await using RealServer server = await RealServers.Nbdkit(
            "eval", "get_size=echo 1048576", "pread=head -c $3 /dev/zero", "pwrite=cat >/dev/null", "can_write=exit 0",
            "can_flush=exit 3", "can_trim=exit 3", "can_zero=exit 3");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        using (MountedFile file = mount.Open())
        {
            file.Write(0, PatternData.Create(1, 0, 4096));
            Assert.Equal(0, file.Fsync());
        }

        await mount.UnmountCleanlyAsync();
    }
}
