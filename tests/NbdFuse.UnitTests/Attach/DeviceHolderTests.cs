using System.Text.Json;
using NbdFuse.Attach;
using Xunit;

namespace NbdFuse.UnitTests.Attach;

/// <summary>Who uses a device, and what a state file says.</summary>
public sealed class DeviceHolderTests
{
    private static readonly string[] Nodes = ["/dev/loop7", "/dev/loop7p1"];

    [Theory]
    [InlineData("36 25 7:7 / /mnt/a\\040b rw,relatime shared:1 - ext4 /dev/loop7 rw", "/mnt/a b")]
    [InlineData("36 25 0:44 / /mnt rw - btrfs /dev/loop7p1 rw,space_cache", "/mnt")]
    [InlineData("36 25 0:44 / /mnt rw - btrfs /dev/loop70 rw", null)]
    [InlineData("36 25 0:44 / /dev/loop7 rw - tmpfs none rw", null)]
    [InlineData("36 25 -", null)]
    [InlineData("", null)]
    public void Line_of_mountinfo_names_the_mountpoint_of_the_device(string line, string? mountPoint)
    {
        List<DeviceHolder> holders = [];
        DeviceHolders.AddMount(line, Nodes, holders);
        DeviceHolders.AddMount(line, Nodes, holders);
        Assert.Equal(mountPoint is null ? [] : [mountPoint], holders.Select(holder => holder.What));
    }

    [Theory]
    [InlineData("36 25 7:7 / / rw - ext4 /dev/root rw", "/dev/loop7")]
    [InlineData("36 25 259:3 / / rw - xfs /dev/disk/by-uuid/x rw", "/dev/loop7p1")]
    [InlineData("36 25 7:70 / / rw - ext4 /dev/root rw", null)]
    public void Mount_by_another_name_is_found_by_the_number_of_the_device(string line, string? device)
    {
        List<DeviceHolder> holders = [];
        DeviceHolders.AddMount(line, Nodes, holders, new Dictionary<string, string> { ["7:7"] = Nodes[0], ["259:3"] = Nodes[1] });
        Assert.Equal(device is null ? [] : [device], holders.Select(holder => holder.Device));
    }

    [Fact]
    public void Links_are_resolved_by_their_text_wherever_they_stand_in_a_path()
    {
        using var directory = new TestKit.TempDirectory();
        Directory.CreateDirectory(directory["real"]);
        File.CreateSymbolicLink(directory["real/leaf"], "../gone/x");
        File.CreateSymbolicLink(directory["alias"], directory["real"]);
        File.CreateSymbolicLink(directory["loop"], "loop");
        string root = global::NbdFuse.Cli.DetachTarget.ResolveLinks(directory.Path);
        Assert.Equal($"{root}/gone/x", global::NbdFuse.Cli.DetachTarget.ResolveLinks(directory["alias/leaf"]));
        Assert.Equal($"{root}/real/none", global::NbdFuse.Cli.DetachTarget.ResolveLinks(directory["alias/./none"]));
        Assert.Equal($"{root}/loop", global::NbdFuse.Cli.DetachTarget.ResolveLinks(directory["loop"]));
        Assert.Equal("/", global::NbdFuse.Cli.DetachTarget.ResolveLinks("/.."));
    }

    [Theory]
    [InlineData("a\\134b", "a\\b")]
    [InlineData("\\303\\244", "ä")]
    [InlineData("a\\", "a\\")]
    [InlineData("\\04", "\\04")]
    [InlineData("\\999", "\\999")]
    public void Octal_escapes_are_undone(string text, string expected) => Assert.Equal(expected, DeviceHolders.Unescape(text));

    [Theory]
    [InlineData("/dev/loop0", 0)]
    [InlineData("/dev/loop12", 12)]
    [InlineData("/dev/loop0p1", null)]
    [InlineData("/dev/loop", null)]
    [InlineData("/dev/loop-1", null)]
    [InlineData("/dev/loop99999999999", null)]
    [InlineData("/dev/loop-control", null)]
    [InlineData("loop0", null)]
    public void Number_of_a_loop_device_is_read_from_its_path_only(string path, int? expected) =>
        Assert.Equal(expected, LoopDevice.TryNumber(path, out int number) ? number : null);

    [Fact]
    public void State_file_comes_back_as_it_was_written_and_damage_is_no_state()
    {
        using var directory = new TestKit.TempDirectory();
        var entry = new AttachEntry(directory.Path);
        Assert.Null(entry.Read());
        var state = new AttachState
        {
            Pid = Environment.ProcessId,
            ProcessStart = AttachEntry.ProcessStart(Environment.ProcessId),
            Device = "/dev/loop7",
            Export = "ä\n\"",
            Size = long.MaxValue,
        };
        entry.Write(state);
        Assert.Equal(state, entry.Read());
        Assert.True(AttachEntry.IsAlive(state));
        Assert.False(AttachEntry.IsAlive(state with { ProcessStart = state.ProcessStart + 1 }));
        Assert.False(AttachEntry.IsAlive(state with { Pid = 0 }));

        foreach (string damage in new[] { "", "{", "null", "[]", "{\"pid\":\"x\"}", new string('[', 5000) })
        {
            File.WriteAllText(directory["state.json"], damage);
            Assert.Null(entry.Read());
        }
    }

    [Fact]
    public void Table_of_status_has_no_empty_cell_and_no_control_character()
    {
        string text = StatusReport.ToText(
        [
            new AttachStatus
            {
                Attached = new AttachState { Device = "/dev/loop7", Driver = "fuse", Export = "a\e[31m b", Size = 3 << 19 },
                State = "online",
                Operations = [new OperationStatus("read", 2, 2048, 1), new OperationStatus("write", 0, 0, 0)],
            },
        ]);

        Assert.DoesNotContain('\e', text);
        string[] lines = text.Split('\n');
        Assert.Equal(
            ["/dev/loop7", "fuse", "online", "1.5MiB", "rw", "0", "0", "a_[31m_b", "-"],
            lines[1].Split(' ', StringSplitOptions.RemoveEmptyEntries));
        Assert.Equal("    read: 2 requests, 2KiB, 1 errors", lines[2]);
        Assert.Equal("nothing is attached\n", StatusReport.ToText([]));
    }

    [Fact]
    public void Status_tells_why_in_json_and_in_short()
    {
        var latency = new LatencyStatus(3, 4, 8, 7, [new LatencyBucket(4, 2), new LatencyBucket(8, 1)]);
        var status = new AttachStatus
        {
            Attached = new AttachState { Device = "/dev/loop7", Driver = "fuse" },
            State = "online",
            InFlight = 2,
            Activity = new ActivityStatus(
                new QueueStatus(256, 9, 8192, 0, 1, latency, null),
                new CacheStatus
                {
                    Hits = 3,
                    HitBytes = 12288,
                    Misses = 1,
                    Partial = 0,
                    Coalesced = 1,
                    JoinedPrefetches = 2,
                    Bypassed = 0,
                    Retries = 0,
                    Prefetches = 1,
                    PrefetchedBytes = 65536,
                    UsedPrefetchedBytes = 61440,
                    WastedPrefetchedBytes = 4096,
                    Evictions = 0,
                    Rejections = 0,
                    Invalidations = 0,
                    HeldBytes = 4096,
                    ReadMicroseconds = 5,
                },
                [new OperationStatus("read", 3, 4096, 0, latency), new OperationStatus("write", 0, 0, 0)],
                [new ConnectionStatus(2, "usable", 1, 3, 4096, 0)]),
        };

        using var document = JsonDocument.Parse(StatusReport.ToJson([status]));
        JsonElement device = document.RootElement.GetProperty("devices")[0];
        Assert.Equal(9, device.GetProperty("queue").GetProperty("peak-in-flight").GetInt32());
        Assert.Equal(7, device.GetProperty("queue").GetProperty("full-latency").GetProperty("maximum").GetInt64());
        Assert.False(device.GetProperty("queue").TryGetProperty("wait", out _));
        Assert.Equal(4096, device.GetProperty("cache").GetProperty("wasted-prefetched-bytes").GetInt64());
        Assert.Equal(2, device.GetProperty("connection-details")[0].GetProperty("generation").GetInt32());
        JsonElement bucket = device.GetProperty("server-operations")[0].GetProperty("latency").GetProperty("histogram")[1];
        Assert.Equal((8, 1), (bucket.GetProperty("below").GetInt64(), bucket.GetProperty("count").GetInt64()));

        Assert.Equal(
            [
                "    queue: 2 of 256 in flight, at most 9; full 1 times, 3 us on average",
                "    cache: 3 hits of 7 reads, 3 waited for another read; 4KiB held; read ahead 64KiB, of which 4KiB wasted",
                "    server read: 3 requests, 4KiB, 0 errors, 3 us on average, 99% within 8 us, at most 7 us",
                "    connection 1: usable, 1 in flight, 3 requests, 4KiB read, 0B written",
            ],
            StatusReport.ToText([status]).Split('\n')[2..^1]);
    }
}
