using System.Globalization;
using System.Text.Json;
using NbdFuse.Native;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>What keeps a device alive that the machine's memory depends on.</summary>
public sealed class AttachSafetyTests
{
    // PF_MEMALLOC_NOIO and PF_LOCAL_THROTTLE (linux/sched.h): what PR_SET_IO_FLUSHER sets.
    private const long IoFlusherFlags = 0x00080000 | 0x00100000;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Nothing_is_compiled_once_the_device_is_usable_not_even_when_the_server_dies(bool comesBack)
    {
        if (File.Exists(Path.ChangeExtension(NbdfuseProgram.FullPath, ".dll")))
        {
            Requires.Missing("published", "only the published program is precompiled");
        }

        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Size = 64 << 20 });
        await using AttachedDevice device = await AttachedDevice.StartAsync(server.Uri, comesBack ? [] : ["--reconnect-timeout=0"]);
        long before = device.Status().GetProperty("compiled-methods").GetInt64();
        string path = device.Path;
        (await Tool.RunAsync("sh", "-e", "-c", $"""
            for i in $(seq 40); do dd if=/dev/urandom of={path} bs=4k count=16 seek=$((i*16)) oflag=direct,dsync status=none; done
            dd if=/dev/zero of={path} bs=1M count=32 oflag=direct conv=fsync status=none
            dd if={path} of=/dev/null bs=512 count=200 iflag=direct status=none
            dd if={path} of=/dev/null bs=1M status=none
            blkdiscard -o 1M -l 4M {path}; blkdiscard -z -o 8M -l 4M {path}
            """)).EnsureSuccess();
        server.Kill();
        await Deadline.Until(
            () => device.Status().GetProperty("state").GetString() == (comesBack ? "recovering" : "failed"), "the loss to be noticed");
        if (comesBack)
        {
            await server.RestartAsync();
        }

        ToolResult ending = await Tool.RunAsync("sh", "-c", $"dd if={path} of=/dev/null bs=4k count=1 iflag=direct && dd if=/dev/zero of={path} bs=4k count=1 oflag=direct");
        Assert.Equal(!comesBack, ending.Error.Contains("Input/output error", StringComparison.Ordinal));
        Assert.Equal(comesBack, ending.ExitCode == 0);

        JsonElement after = device.Status();
        Assert.True(after.GetProperty("operations").EnumerateArray().Sum(operation => operation.GetProperty("requests").GetInt64()) > 1000);
        Assert.Equal(before, after.GetProperty("compiled-methods").GetInt64());
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task What_status_promises_is_what_the_kernel_says_about_the_process(bool foreground)
    {
        await using RealServer server = await RealServers.Nbdkit("memory", "8M");
        using var directory = new TempDirectory();
        await using BackgroundTool tool = AttachedDevice.Launch(directory, foreground ? ["attach", "--foreground", server.Uri] : ["attach", server.Uri]);
        await Deadline.Until(() => tool.HasExited || tool.Output.EndsWith('\n'), "the device");
        string path = tool.Output.Trim();
        try
        {
            ToolResult result = (await AttachedDevice.RunAsync(directory, "status", "--json")).EnsureSuccess();
            using JsonDocument document = JsonDocument.Parse(result.Output);
            JsonElement status = document.RootElement.GetProperty("devices")[0];
            int pid = status.GetProperty("pid").GetInt32();
            Dictionary<string, JsonElement> guarantees = status.GetProperty("guarantees").EnumerateArray()
                .ToDictionary(guarantee => guarantee.GetProperty("name").GetString()!);
            bool InForce(string name) => guarantees[name].GetProperty("in-force").GetBoolean();
            Assert.All(
                guarantees.Values.Where(guarantee => !guarantee.GetProperty("in-force").GetBoolean()),
                guarantee => Assert.NotEqual(string.Empty, guarantee.GetProperty("reason").GetString()));
            if (foreground)
            {
                Assert.Equal(tool.Id, pid);
            }

            string[] lines = await File.ReadAllLinesAsync($"/proc/{pid}/status");
            long locked = Number(lines.Single(line => line.StartsWith("VmLck", StringComparison.Ordinal)));
            Assert.Equal(InForce("memory-locked"), locked > 0);
            Assert.Equal(InForce("oom-protected") ? "-1000" : "0", (await File.ReadAllTextAsync($"/proc/{pid}/oom_score_adj")).Trim());
            foreach (string task in Directory.GetDirectories($"/proc/{pid}/task"))
            {
                string stat = await File.ReadAllTextAsync(Path.Combine(task, "stat"));
                long flags = long.Parse(stat[(stat.LastIndexOf(')') + 2)..].Split(' ')[6], CultureInfo.InvariantCulture);
                Assert.Equal(InForce("io-flusher"), (flags & IoFlusherFlags) == IoFlusherFlags);
            }

            Assert.True(InForce("direct-io"));
            Assert.Equal("1", (await File.ReadAllTextAsync($"/sys/block/{Path.GetFileName(path)}/loop/dio")).Trim());
            Assert.True(InForce("no-core-dump"));
            Assert.Matches("Max core file size +1 +1 ", await File.ReadAllTextAsync($"/proc/{pid}/limits"));
            Assert.True(InForce("precompiled"));

            // No directory but the root, and no file but what it serves with.
            Assert.Equal("/", new FileInfo($"/proc/{pid}/cwd").LinkTarget);
        }
        finally
        {
            (await AttachedDevice.RunAsync(directory, "detach", path)).EnsureSuccess();
        }

        Assert.Equal(0, await Deadline.Within(tool.WaitForExitAsync(CancellationToken.None), "the end"));
    }

    [Theory]
    [InlineData(15)]
    [InlineData(1)]
    public async Task Signal_detaches_a_device_that_nobody_uses(int signal)
    {
        await using NbdkitLog server = await NbdkitLog.StartAsync("memory", "8M");
        await using AttachedDevice device = await AttachedDevice.StartAsync(server.Uri);
        int pid = device.Pid;
        (await Tool.RunAsync("dd", "if=/dev/zero", $"of={device.Path}", "bs=4k", "count=1", "oflag=direct", "status=none")).EnsureSuccess();
        Posix.Kill(pid, signal);
        await Deadline.Until(() => OtherProcess.IsGone(pid), "the daemon to end");
        device.AssertGone(pid);
        Assert.True(
            Array.FindLastIndex(server.Lines, line => line.Contains(" Flush id=", StringComparison.Ordinal))
                > Array.FindLastIndex(server.Lines, line => line.Contains(" Write id=", StringComparison.Ordinal)),
            "no flush after the last write");
    }

    [Fact]
    public async Task Writers_under_a_limit_of_memory_come_to_an_end_and_leave_a_clean_file_system()
    {
        string fio = Requires.Command("fio");
        int seconds = Environment.GetEnvironmentVariable("NBDFUSE_SOAK") == "1" ? 30 : 10;
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Size = 256 << 20 });
        using var group = MemoryCgroup.Create(48 << 20);
        await using AttachedDevice device = await AttachedDevice.StartAsync(server.Uri);
        string root = Directory.CreateDirectory(device.Directory["fs"]).FullName;
        (await Tool.RunAsync("mkfs.ext4", "-q", device.Path)).EnsureSuccess();
        (await Tool.RunAsync("mount", device.Path, root)).EnsureSuccess();

        // Buffered writers of each kind, with several times the memory that they have: every page they dirty must be written
        // back, through us, before the next.
        ToolResult result = await Tool.RunAsync(TimeSpan.FromMinutes(5), "sh", "-c", $"""
            echo $$ > {group.Processes} || exit 1
            {fio} --name=random --directory={root} --size=64M --rw=randwrite --bs=4k-64k --ioengine=psync --fsync=64 \
                --runtime={seconds} --time_based --output-format=terse > {device.Directory["fio"]} 2>&1 & a=$!
            timeout {seconds} sh -c 'while :; do dd if=/dev/zero of={root}/stream bs=1M count=64 status=none || exit 1; done' & b=$!
            timeout {seconds} sh -c 'i=0; while :; do i=$((i+1)); echo $i > {root}/small$((i % 500)); rm -f {root}/small$(((i + 250) % 500)); done' & c=$!
            wait $a || exit 2
            wait $b; [ $? = 124 ] || exit 3
            wait $c; [ $? = 124 ] || exit 4
            """);
        result.EnsureSuccess();
        (await Tool.RunAsync(TimeSpan.FromMinutes(2), "umount", root)).EnsureSuccess();
        (await Tool.RunAsync("e2fsck", "-fn", device.Path)).EnsureSuccess();
        Assert.Equal(0, device.Status().GetProperty("operations").EnumerateArray().Sum(operation => operation.GetProperty("errors").GetInt64()));
        await device.DetachCleanlyAsync();
    }

    private static long Number(string line) => long.Parse(string.Concat(line.Where(char.IsAsciiDigit)), CultureInfo.InvariantCulture);
}
