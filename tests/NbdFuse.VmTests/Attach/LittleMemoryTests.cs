using System.Globalization;
using NbdFuse.TestKit;
using NbdFuse.VmTests.Harness;
using Xunit;

namespace NbdFuse.VmTests;

/// <summary>A machine of 192 MiB, nearly all of it taken, that writes through a device for which it needs us.</summary>
public sealed class LittleMemoryTests
{
    // What is left of the memory, and what each of the two writers writes in a round: together more than what is left.
    private const int LeftMiB = 24;
    private const int FileMiB = 24;

    private const int Seconds = 60;

    [Theory]
    [InlineData("fuse", "loop")]
    [InlineData("ublk", "ublk_drv")]
    [InlineData("nbd", "nbd")]
    public async Task Machine_with_little_memory_writes_through_the_device_without_a_hang(string driver, string module)
    {
        Requires.Soak("fills small machines, for minutes.");
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Transport = ServerTransport.Tcp, Size = 128 << 20 });
        await Guest.UseAsync(
            new GuestOptions { MemoryMiB = 192, Modules = [module], Programs = ["mkfs.ext4"] },
            guest => RunAsync(guest, server, driver));
        Tool.Run("e2fsck", "-fn", server.BackingFile!).EnsureSuccess();
        foreach (string name in (string[])["a", "b"])
        {
            string content = Tool.Run("debugfs", "-R", $"cat /{name}", server.BackingFile!).EnsureSuccess().Output;
            Assert.Equal(FileMiB << 20, content.Length);
            Assert.Equal(-1, content.AsSpan().IndexOfAnyExcept(name[0]));
        }
    }

    private static async Task RunAsync(Guest guest, RealServer server, string driver)
    {
        // Files in memory cannot be taken back without swap. Then more is written than there is memory, by large and by small
        // writes, so that pages must be written back, through us, before the next can be had.
        GuestResult result = await guest.RunAsync(
            $$"""
            mkdir -p /mnt/fs /hog
            dev=$(nbdfuse attach --driver {{driver}} {{Guest.UriOf(server)}})
            mkfs.ext4 -q $dev
            mount $dev /mnt/fs
            for name in a b; do dd if=/dev/zero bs=64k count=16 2>/dev/null | tr '\0' $name >/run/$name.part; done
            fill() {
                part=0
                while [ $part -lt {{FileMiB}} ]; do cat /run/$1.part; part=$((part + 1)); done | dd of=/mnt/fs/$1 bs=$2 iflag=fullblock conv=fsync 2>/run/$1
            }
            available=$(sed -n 's/^MemAvailable: *\([0-9]*\) kB/\1/p' /proc/meminfo)
            hog=$((available / 1024 - {{LeftMiB}}))
            mount -t tmpfs -o size=100% none /hog
            dd if=/dev/zero of=/hog/file bs=1M count=$hog 2>/run/hog
            end=$(($(cut -d. -f1 /proc/uptime) + {{Seconds}}))
            rounds=0
            while [ $rounds = 0 ] || [ $(cut -d. -f1 /proc/uptime) -lt $end ]; do
                fill a 64k & a=$!
                fill b 4k & b=$!
                wait $a
                wait $b
                rounds=$((rounds + 1))
            done
            umount /hog
            echo hog $hog
            pid=$(sed -n 's/.*"worker":\([0-9]*\).*/\1/p' /run/nbdfuse/*/state.json)
            [ $pid != 0 ] || pid=$(pidof nbdfuse)
            grep VmHWM /proc/$pid/status
            umount /mnt/fs
            nbdfuse detach $dev
            """,
            TimeSpan.FromMinutes(8));

        string[] words = result.EnsureSuccess().Output.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(["hog", "VmHWM:"], [words[0], words[2]]);
        Assert.InRange(int.Parse(words[1], CultureInfo.InvariantCulture), 1, 192);
        Assert.InRange(int.Parse(words[3], CultureInfo.InvariantCulture), 1, 96 * 1024);
        guest.AssertHealthy();
        await guest.ShutDownAsync();
    }
}
