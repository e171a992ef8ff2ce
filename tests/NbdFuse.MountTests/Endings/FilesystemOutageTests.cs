using System.Diagnostics;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>A file system on a loop device on the mounted file, whose server dies again and again.</summary>
public sealed class FilesystemOutageTests
{
    private static TimeSpan Load => TimeSpan.FromSeconds(Requires.IsSoak ? 120 : 10);

    [Fact]
    public async Task Ext4_on_a_loop_device_is_whole_although_its_server_is_killed_every_few_seconds()
    {
        string mkfs = Requires.Command("mkfs.ext4");
        Requires.Loop();
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Size = 128 << 20 });
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        mount.Extend(Load + TimeSpan.FromSeconds(120));
        string marker = $"nbdfuse-test-{Guid.NewGuid():N}";
        await File.WriteAllTextAsync("/dev/kmsg", marker);
        string name;
        await using (LoopDevice loop = await LoopDevice.AttachAsync(mount.FilePath))
        {
            name = Path.GetFileName(loop.Path);
            (await Tool.RunAsync(mkfs, "-q", loop.Path)).EnsureSuccess();
            string directory = Directory.CreateDirectory(mount.Directory["fs"]).FullName;
            await loop.MountAsync(directory);

            // The list of checksums lies elsewhere: it must not be lost with what it tells of.
            string sums = mount.Directory["sums"];
            await using var writing = new BackgroundTool("/bin/sh", "-c", $"""
                end=$(($(date +%s) + {(int)Load.TotalSeconds})); i=0
                while [ $(date +%s) -lt $end ]; do
                    i=$((i + 1)); f={directory}/f$((i % 40))
                    head -c $((i * 7919 % 400000 + 1)) /dev/urandom >$f.new || exit 1
                    sum=$(sha256sum <$f.new) || exit 1
                    mv $f.new $f || exit 1
                    [ $((i % 5)) != 0 ] || sync $f || exit 1
                    sed -i "\| $f\$|d" {sums} 2>/dev/null; echo "$(echo $sum | cut -d' ' -f1)  $f" >>{sums}
                done
                """);
            int kills = 0;
            var clock = Stopwatch.StartNew();
            while (clock.Elapsed < Load)
            {
                // Under load for a while, then away for a while: which moments does not matter, every one must do.
                await Task.Delay(1500);
                server.Kill();
                await Task.Delay(300);
                await server.RestartAsync();
                kills++;
            }

            Assert.Equal(0, await Deadline.Within(writing.WaitForExitAsync(CancellationToken.None), "the writer to end"));
            Assert.True(kills > 3);
            (await Tool.RunAsync("sync", "-f", directory)).EnsureSuccess();
            await File.WriteAllTextAsync("/proc/sys/vm/drop_caches", "3");
            Assert.NotEmpty(await File.ReadAllLinesAsync(sums));
            (await Tool.RunAsync("sha256sum", "--quiet", "-c", sums)).EnsureSuccess();
            await loop.UnmountAsync();
            (await Tool.RunAsync("e2fsck", "-fn", loop.Path)).EnsureSuccess();
        }

        await mount.UnmountCleanlyAsync();
        string log = (await Tool.RunAsync("dmesg")).EnsureSuccess().Output;
        string[] since = [.. log[log.LastIndexOf(marker, StringComparison.Ordinal)..].Split('\n').Where(line => line.Contains(name, StringComparison.Ordinal))];
        Assert.DoesNotContain(since, line => line.Contains("error", StringComparison.OrdinalIgnoreCase) || line.Contains("abort", StringComparison.OrdinalIgnoreCase));
    }
}
