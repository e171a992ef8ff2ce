using System.IO.MemoryMappedFiles;
using NbdFuse.Native;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>The end of the export, appending, mapping and seeking.</summary>
public sealed class EndOfFileTests
{
    private const int Size = 1_000_001;

    [Theory]
    [InlineData(OpenFlags.ReadWrite)]
    [InlineData(OpenFlags.ReadWrite | OpenFlags.Direct)]
    public async Task Write_across_the_end_writes_what_fits_and_nothing_fits_at_the_end(OpenFlags flags)
    {
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Size = Size });
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        byte[] data = PatternData.Create(1, Size - 1000, 4096);
        using MountedFile file = mount.Open(flags);

        Assert.Equal(1000, file.TryWrite(Size - 1000, data));
        Assert.Equal(-Errno.ENOSPC, file.TryWrite(Size, data));
        Assert.Equal(-Errno.ENOSPC, file.TryWrite(Size + 123456, data));
        Assert.Equal(0, file.TryWrite(Size, []));
        Assert.Equal(0, file.Fsync());

        PatternData.AssertEqual(data.AsSpan(0, 1000), file.Read(Size - 1000, 1000), Size - 1000);
        PatternData.AssertEqual(data.AsSpan(0, 1000), server.ReadBacking(Size - 1000, 1000), Size - 1000);
        Assert.Equal(Size, new FileInfo(server.BackingFile!).Length);
        Assert.Equal(Size, new FileInfo(mount.FilePath).Length);
    }

    [Theory]
    [InlineData(OpenFlags.ReadOnly)]
    [InlineData(OpenFlags.ReadOnly | OpenFlags.Direct)]
    public async Task Read_across_the_end_gives_what_there_is(OpenFlags flags)
    {
        byte[] content = PatternData.Create(2, 0, Size);
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Content = content });
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        using MountedFile file = mount.Open(flags);
        byte[] buffer = new byte[8192];
        Assert.Equal(777, file.TryRead(Size - 777, buffer));
        PatternData.AssertEqual(content.AsSpan(Size - 777), buffer.AsSpan(0, 777), Size - 777);
        Assert.Equal(0, file.TryRead(Size, buffer));
        Assert.Equal(0, file.TryRead(Size + 99999, buffer));
    }

    [Fact]
    public async Task Append_finds_no_space_and_changes_nothing()
    {
        byte[] content = PatternData.Create(3, 0, 65536);
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Content = content });
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        using (MountedFile file = mount.Open(OpenFlags.WriteOnly | OpenFlags.Append))
        {
            Assert.Equal(-Errno.ENOSPC, file.TryAppend("more"u8));
        }

        ToolResult shell = await Tool.RunAsync("/bin/sh", "-c", $"echo more | dd of={mount.FilePath} oflag=append conv=notrunc");
        Assert.NotEqual(0, shell.ExitCode);
        Assert.Contains("No space left on device", shell.Error);
        PatternData.AssertEqual(content, server.ReadBacking(0, content.Length));
    }

    [Fact]
    public async Task Shared_mapping_reads_and_writes_the_export()
    {
        byte[] content = PatternData.Create(4, 0, 256 * 1024);
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Content = content });
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        using (var map = MemoryMappedFile.CreateFromFile(mount.FilePath, FileMode.Open, mapName: null, 0, MemoryMappedFileAccess.ReadWrite))
        using (MemoryMappedViewAccessor view = map.CreateViewAccessor(0, content.Length))
        {
            byte[] seen = new byte[content.Length];
            Assert.Equal(seen.Length, view.ReadArray(0, seen, 0, seen.Length));
            PatternData.AssertEqual(content, seen);

            byte[] data = PatternData.Create(5, 100_000, 50_000);
            view.WriteArray(100_000, data, 0, data.Length);
            data.CopyTo(content, 100_000);
            view.Flush();
            PatternData.AssertEqual(content, server.ReadBacking(0, content.Length), context: "after msync");

            // Not synced: the unmount has to take it along.
            data = PatternData.Create(6, 0, 20_000);
            view.WriteArray(0, data, 0, data.Length);
            data.CopyTo(content, 0);
        }

        await mount.UnmountCleanlyAsync();
        PatternData.AssertEqual(content, server.ReadBacking(0, content.Length), context: "after the unmount");
    }

    [Fact]
    public async Task Direct_and_cached_handles_see_each_others_writes()
    {
        await using RealServer server = await RealServers.Nbdkit("memory", "1M");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        using MountedFile cached = mount.Open();
        using MountedFile direct = mount.Open(OpenFlags.ReadWrite | OpenFlags.Direct);
        for (ulong round = 0; round < 8; round++)
        {
            byte[] data = PatternData.Create(round, 8192, 16384);
            (round % 2 == 0 ? cached : direct).Write(8192, data);
            PatternData.AssertEqual(data, direct.Read(8192, data.Length), 8192, $"round {round}, direct");
            PatternData.AssertEqual(data, cached.Read(8192, data.Length), 8192, $"round {round}, cached");
        }
    }

    [Fact]
    public async Task Seek_for_data_and_holes_ends_at_the_size()
    {
        // A server that can't tell of holes: everything is data.
        await using RealServer server = await RealServers.Nbdkit("--no-sr", "memory", "1M");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        using MountedFile file = mount.Open();
        Assert.Equal(4096, file.Seek(4096, Posix.SeekData));
        Assert.Equal(1 << 20, file.Seek(4096, Posix.SeekHole));
        Assert.Equal(-Errno.ENXIO, file.Seek(1 << 20, Posix.SeekData));
    }
}
