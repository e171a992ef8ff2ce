using NbdFuse.Native;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>What one reader has read from a slow server is in memory before the next one asks for it.</summary>
public sealed class TraceTests
{
    private const int Size = 16 << 20;

    // In no order that reading ahead by itself would see.
    private static readonly (long Offset, int Length)[] Reads =
        [.. Enumerable.Range(0, 100).Select(i => (i * 37L % 100 * 131072, i % 7 == 0 ? 65536 : 4096 * (1 + (i % 3))))];

    [Fact]
    public async Task Reads_of_a_recorded_trace_are_answered_from_memory()
    {
        using var directory = new TempDirectory();
        string trace = directory["trace"];
        await using NbdkitLog server = await NbdkitLog.StartAsync("--filter=delay", "pattern", $"{Size}", "rdelay=20ms");
        await using (MountedNbdfuse first = await MountedNbdfuse.StartAsync(server.Uri, "--record", trace, "--cache=0", "--readahead=0"))
        {
            Read(first);
            await first.UnmountCleanlyAsync();
        }

        int recorded = server.Requests("Read").Length;
        Assert.True(recorded >= Reads.Length, $"{recorded} reads");
        await using MountedNbdfuse second = await MountedNbdfuse.StartAsync(server.Uri, "--prefetch", trace, "--cache=0", "--readahead=0");

        // Pieces of 64 KiB at most: not one request more than the reader had made.
        await Deadline.Until(() => Ends(server) >= 2 * recorded, "the trace to be read");
        int before = server.Requests("Read").Length;
        Read(second);
        Assert.Equal(before, server.Requests("Read").Length);
        await second.UnmountCleanlyAsync();
    }

    [Theory]
    [InlineData("fuse")]
    [InlineData("ublk")]
    public async Task Attached_device_reads_by_a_trace_and_writes_through(string driver)
    {
        if (driver == "ublk" && !File.Exists("/dev/ublk-control"))
        {
            Assert.Skip("SKIPPED: this kernel has no ublk driver.");
        }

        using var directory = new TempDirectory();
        string trace = directory["trace"];
        await using NbdkitLog server = await NbdkitLog.StartAsync("--filter=delay", "memory", $"{Size}", "rdelay=20ms");
        await using (AttachedDevice first = await AttachedDevice.StartAsync(server.Uri, "--driver", driver, "--record", trace))
        {
            (await ReadDeviceAsync(first.Path)).EnsureSuccess();
            await first.DetachCleanlyAsync();
        }

        await using AttachedDevice second = await AttachedDevice.StartAsync(server.Uri, "--driver", driver, "--prefetch", trace);
        (await Tool.RunAsync("sh", "-c", $"yes | head -c 4096 | dd of={second.Path} bs=4096 seek=1000 oflag=direct conv=notrunc status=none")).EnsureSuccess();
        ToolResult back = (await Tool.RunAsync("dd", $"if={second.Path}", "bs=4096", "skip=1000", "count=1", "iflag=direct", "status=none")).EnsureSuccess();
        Assert.StartsWith("y\ny\n", back.Output, StringComparison.Ordinal);
        await Deadline.Until(() => Ends(server) == server.Requests("Read").Length, "the trace to be read");
        int before = server.Requests("Read").Length;
        (await ReadDeviceAsync(second.Path)).EnsureSuccess();
        Assert.InRange(server.Requests("Read").Length - before, 0, 10);
        await second.DetachCleanlyAsync();
    }

    [Fact]
    public async Task Damaged_trace_is_refused_and_one_of_another_size_left_aside()
    {
        using var directory = new TempDirectory();
        string trace = directory["trace"];
        File.WriteAllText(trace, "NBDTRACE, but nothing of the kind");
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Size = 1 << 20 });
        await using (MountedNbdfuse refused = MountedNbdfuse.Launch(new MountStart { Mode = [server.Uri], Options = ["--prefetch", trace] }))
        {
            Assert.Equal(1, await refused.WaitForExitAsync());
            Assert.Contains("access trace", refused.Error, StringComparison.Ordinal);
        }

        await using RealServer other = await RealServers.NbdkitFile(new RealServerOptions { Size = 2 << 20 });
        await using (MountedNbdfuse recorded = await MountedNbdfuse.StartAsync(other.Uri, "--record", trace))
        {
            using (MountedFile file = recorded.Open(OpenFlags.ReadOnly | OpenFlags.Direct))
            {
                file.Read(4096, 4096);
            }

            await recorded.UnmountCleanlyAsync();
        }

        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri, "--prefetch", trace);
        Assert.Contains("record it again", mount.Error, StringComparison.Ordinal);
        await mount.UnmountCleanlyAsync();
    }

    private static int Ends(NbdkitLog server) => server.Lines.Count(line => line.Contains(" ...Read ", StringComparison.Ordinal));

    private static Task<ToolResult> ReadDeviceAsync(string path) => Tool.RunAsync(
        "sh", "-c", $"for block in 900 17 512 1000 3 700 44; do dd if={path} of=/dev/null bs=4096 skip=$block count=1 iflag=direct status=none; done");

    // Around the page cache: each read is one request.
    private static void Read(MountedNbdfuse mount)
    {
        using MountedFile file = mount.Open(OpenFlags.ReadOnly | OpenFlags.Direct);
        foreach ((long offset, int length) in Reads)
        {
            byte[] data = file.Read(offset, length);
            Assert.Equal(length, data.Length);
            for (int i = 0; i < length; i += 8)
            {
                // What nbdkit's pattern plugin has at an offset is the offset.
                Assert.Equal(offset + i, System.Buffers.Binary.BinaryPrimitives.ReadInt64BigEndian(data.AsSpan(i)));
            }
        }
    }
}
