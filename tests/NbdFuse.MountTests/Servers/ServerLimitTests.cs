using NbdFuse.Native;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>Servers with block sizes, small payloads, odd sizes and few abilities.</summary>
public sealed class ServerLimitTests
{
    private const int Size = 1 << 20;

    [Theory]
    [InlineData(4096)]
    [InlineData(65536)]
    public async Task Minimum_block_is_obeyed_while_users_write_bytes(int minimum)
    {
        // The filter fails every request that is not aligned: then a user would see an error.
        await using RealServer server = await Policy(minimum, minimum, 1 << 20);
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        byte[] model = new byte[Size];
        foreach (OpenFlags flags in new[] { OpenFlags.ReadWrite, OpenFlags.ReadWrite | OpenFlags.Direct })
        {
            using MountedFile file = mount.Open(flags);
            foreach ((int offset, int length) in new[] { (1, 1), (4095, 2), (minimum - 7, 15), (300_001, 200_003), (Size - 5, 5) })
            {
                byte[] data = PatternData.Create((ulong)(length + (int)flags), offset, length);
                file.Write(offset, data);
                data.CopyTo(model, offset);
            }

            Assert.Equal(0, file.Fsync());
            PatternData.AssertEqual(model, file.Read(0, Size), context: $"{flags}");
        }

        FileContent.AssertEqual(model, mount.FilePath);
        await mount.UnmountCleanlyAsync();
    }

    [Fact]
    public async Task Parallel_writers_into_one_block_of_the_server_keep_all_bytes()
    {
        await using RealServer server = await Policy(65536, 65536, 1 << 20);
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        await Task.WhenAll(Enumerable.Range(0, 16).Select(worker => Task.Run(() =>
        {
            using MountedFile file = mount.Open(OpenFlags.ReadWrite | OpenFlags.Direct);
            for (int round = 0; round < 8; round++)
            {
                int offset = ((round * 16) + worker) * 1000;
                file.Write(offset, PatternData.Create(1, offset, 1000));
            }
        })));
        using MountedFile all = mount.Open(OpenFlags.ReadOnly | OpenFlags.Direct);
        PatternData.AssertEqual(PatternData.Create(1, 0, 128_000), all.Read(0, 128_000));
    }

    [Fact]
    public async Task Maximum_payload_is_obeyed()
    {
        await using RealServer server = await Policy(1, 4096, 32768);
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        byte[] content = PatternData.Create(2, 0, Size);
        using MountedFile file = mount.Open(OpenFlags.ReadWrite | OpenFlags.Direct);
        file.Write(0, content);
        PatternData.AssertEqual(content, file.Read(0, Size));
    }

    [Fact]
    public async Task Tail_below_the_minimum_block_is_left_out_and_said()
    {
        await using RealServer server = await RealServers.Nbdkit(
            "--filter=blocksize-policy", "memory", $"{Size + 1000}", "blocksize-minimum=4096", "blocksize-preferred=4096",
            "blocksize-maximum=1M", "blocksize-error-policy=error");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        Assert.Equal(Size, new FileInfo(mount.FilePath).Length);
        using MountedFile file = mount.Open();
        Assert.Equal(-Errno.ENOSPC, file.TryWrite(Size, new byte[1000]));
        file.Write(Size - 100, PatternData.Create(3, Size - 100, 100));
        Assert.Equal(0, file.Fsync());
        Assert.Contains($"{Size + 1000}", mount.Error);
    }

    [Theory]
    [InlineData("--filter=nozero")]
    [InlineData("--filter=nocache")]
    [InlineData("--filter=noextents")]
    [InlineData("--filter=noparallel")]
    [InlineData("--filter=fua", "fuamode=discard")]
    [InlineData("--filter=fua", "fuamode=force")]
    [InlineData("--no-sr")]
    [InlineData("--mask-handshake=0")]
    public async Task Server_without_an_ability_serves_the_file_all_the_same(string option, params string[] parameters)
    {
        await using RealServer server = await RealServers.Nbdkit([option, "memory", $"{Size}", .. parameters]);
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        byte[] content = PatternData.Create(4, 0, Size);
        using (MountedFile file = mount.Open())
        {
            file.Write(0, content);
            Assert.Equal(0, file.Fsync());
        }

        using (MountedFile file = mount.Open(OpenFlags.ReadWrite | OpenFlags.Direct | OpenFlags.DataSync))
        {
            PatternData.AssertEqual(content, file.Read(0, Size));
            file.Write(8192, content.AsSpan(8192, 8192));
        }

        FileContent.AssertEqual(content, mount.FilePath);
        await mount.UnmountCleanlyAsync();
    }

    [Fact]
    public async Task Huge_export_is_read_and_written_at_its_far_end()
    {
        const long Huge = 1L << 60;
        await using RealServer server = await RealServers.Nbdkit("memory", $"{Huge}");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        Assert.Equal(Huge, new FileInfo(mount.FilePath).Length);
        using MountedFile file = mount.Open(OpenFlags.ReadWrite | OpenFlags.Direct);
        byte[] data = PatternData.Create(5, Huge - 4096, 4096);
        file.Write(Huge - 4096, data);
        PatternData.AssertEqual(data, file.Read(Huge - 4096, 4096), Huge - 4096);
        PatternData.AssertZero(file.Read(Huge / 2, 4096), Huge / 2);
    }

    [Fact]
    public async Task Empty_export_is_an_empty_file()
    {
        await using RealServer server = await RealServers.Nbdkit("memory", "0");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        Assert.Empty(await File.ReadAllBytesAsync(mount.FilePath));
        using (MountedFile file = mount.Open())
        {
            Assert.Equal(-Errno.ENOSPC, file.TryWrite(0, new byte[1]));
        }

        await mount.UnmountCleanlyAsync();
    }

    private static Task<RealServer> Policy(int minimum, int preferred, int maximum) => RealServers.Nbdkit(
        "--filter=blocksize-policy", "memory", $"{Size}", $"blocksize-minimum={minimum}", $"blocksize-preferred={preferred}",
        $"blocksize-maximum={maximum}", "blocksize-error-policy=error");
}
