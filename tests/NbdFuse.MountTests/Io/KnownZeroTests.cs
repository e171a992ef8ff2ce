using System.Globalization;
using System.Text.RegularExpressions;
using NbdFuse.Native;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>What the server has told to be zeroes is not read over the network.</summary>
public sealed partial class KnownZeroTests
{
    private const int Size = 128 << 20;
    private const int DataAt = 40 << 20;
    private const int DataBytes = 1 << 20;

    [Theory]
    [InlineData("")]
    [InlineData("--cache=0 --readahead=0")]
    [InlineData("--no-extended-headers -C 1")]
    public async Task Sparse_image_is_read_whole_with_few_reads_at_the_server(string options)
    {
        await using NbdkitLog server = await NbdkitLog.StartAsync("memory", "128M");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri, options.Split(' ', StringSplitOptions.RemoveEmptyEntries));
        byte[] expected = new byte[Size];
        PatternData.Fill(expected.AsSpan(DataAt, DataBytes), 1, DataAt);
        using (MountedFile file = mount.Open(OpenFlags.ReadWrite | OpenFlags.Direct))
        {
            file.Write(DataAt, expected.AsSpan(DataAt, DataBytes));
            Assert.Equal(0, file.Fsync());
        }

        string copy = mount.Directory["copy"];
        (await Tool.RunAsync("dd", $"if={mount.FilePath}", $"of={copy}", "bs=1M")).EnsureSuccess();
        FileContent.AssertEqual(expected, copy);
        long read = BytesRead(server);
        Assert.InRange(read, DataBytes, Size / 4);

        // A change of what is known: by this mount, read back without the page cache.
        PatternData.Fill(expected.AsSpan(100 << 20, 65536), 2, 0);
        using (MountedFile file = mount.Open(OpenFlags.ReadWrite | OpenFlags.Direct))
        {
            file.Write(100 << 20, expected.AsSpan(100 << 20, 65536));
            PatternData.AssertEqual(expected.AsSpan(100 << 20, 1 << 20), file.Read(100 << 20, 1 << 20));
        }

        (await Tool.RunAsync("dd", $"if={mount.FilePath}", $"of={copy}", "bs=1M")).EnsureSuccess();
        FileContent.AssertEqual(expected, copy);
        await mount.UnmountCleanlyAsync();
    }

    [Fact]
    public async Task Export_that_others_write_to_is_read()
    {
        await using NbdkitLog server = await NbdkitLog.StartAsync("memory", "128M");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri, "--shared");
        (await Tool.RunAsync("dd", $"if={mount.FilePath}", "of=/dev/null", "bs=1M", "iflag=direct")).EnsureSuccess();
        Assert.True(BytesRead(server) >= Size);
        await mount.UnmountCleanlyAsync();
    }

    [Fact]
    public async Task Dense_image_is_asked_about_once_in_a_while()
    {
        using var directory = new TempDirectory();
        string disk = directory.CreateFile("disk", PatternData.Create(1, 0, Size));
        await using NbdkitLog server = await NbdkitLog.StartAsync("file", disk);
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        (await Tool.RunAsync("cmp", mount.FilePath, disk)).EnsureSuccess();
        Assert.InRange(server.Requests("Extents").Length, 0, 8);
        await mount.UnmountCleanlyAsync();
    }

    private static long BytesRead(NbdkitLog server) => server.Requests("Read").Sum(
        line => long.Parse(Count().Match(line).Groups[1].ValueSpan, NumberStyles.HexNumber, CultureInfo.InvariantCulture));

    [GeneratedRegex("count=0x([0-9a-f]+)")]
    private static partial Regex Count();
}
