using System.Text.RegularExpressions;
using NbdFuse.TestKit;
using NbdFuse.VmTests.Harness;

namespace NbdFuse.VmTests.Boot;

/// <summary>An initramfs made by the command, and disks with a small system on it.</summary>
public sealed partial class BootFiles : IDisposable
{
    private const long Megabyte = 1 << 20;
    private const long PartitionStart = 4 * Megabyte;
    private const long SystemSize = 48 * Megabyte;

    private readonly TempDirectory _directory = new();
    private readonly Lazy<string> _initramfs;

    /// <summary>Makes nothing yet.</summary>
    public BootFiles() => _initramfs = new(() => MakeInitramfs());

    /// <summary>The initramfs; made once.</summary>
    public string Initramfs => _initramfs.Value;

    /// <summary>What the command said when it made it.</summary>
    public string Report { get; private set; } = string.Empty;

    /// <inheritdoc/>
    public void Dispose() => _directory.Dispose();

    /// <summary>Makes a disk whose filesystem has the label "system", and which has its own file for each call.</summary>
    /// <param name="partitioned">On the second partition of a GPT, with the label "rootfs"; otherwise without partitions.</param>
    /// <param name="size">Bytes of the filesystem.</param>
    /// <returns>Path of the image.</returns>
    public string MakeDisk(bool partitioned, long size = SystemSize)
    {
        string tree = _directory[$"tree-{Guid.NewGuid():N}"];
        foreach (string directory in new[] { "bin", "sbin", "dev", "proc", "sys", "run", "tmp", "etc" })
        {
            Directory.CreateDirectory(Path.Combine(tree, directory));
        }

        File.Copy(GuestParts.Require().Busybox, Path.Combine(tree, "bin/busybox"));
        File.WriteAllText(Path.Combine(tree, "sbin/init"), Script());
        foreach (string program in new[] { "bin/busybox", "sbin/init" })
        {
            Tool.Run("chmod", "755", Path.Combine(tree, program)).EnsureSuccess();
        }

        string image = _directory[$"disk-{Guid.NewGuid():N}"];
        using (FileStream file = File.Create(image))
        {
            file.SetLength(partitioned ? PartitionStart + SystemSize + (2 * Megabyte) : size);
        }

        if (partitioned)
        {
            Requires.Command("sfdisk");
            string table = image + ".table";
            File.WriteAllText(table, "label: gpt\nstart=2048, size=2048, name=other\nstart=8192, size=98304, name=rootfs\n");
            Tool.Run("sh", "-c", "sfdisk -q \"$1\" <\"$2\"", "sh", image, table).EnsureSuccess();
        }

        Tool.Run(
            "mke2fs", "-q", "-F", "-t", "ext4", "-L", "system", "-d", tree, "-E", $"offset={(partitioned ? PartitionStart : 0)}", image, $"{size / 1024}k")
            .EnsureSuccess();
        Directory.Delete(tree, recursive: true);
        return image;
    }

    /// <summary>A copy of a disk.</summary>
    /// <param name="image">Path of the image.</param>
    public string CopyDisk(string image)
    {
        string copy = _directory[$"disk-{Guid.NewGuid():N}"];
        File.Copy(image, copy);
        return copy;
    }

    /// <summary>Makes an initramfs with further options.</summary>
    /// <param name="options">Options of the command.</param>
    public string MakeInitramfs(params string[] options)
    {
        GuestParts parts = GuestParts.Require();
        string path = _directory[$"initramfs-{Guid.NewGuid():N}"];
        string[] words =
        [
            "initramfs", "-o", path, "--busybox", parts.Busybox,
            "--modules", Path.Combine(parts.Directory, "modules/lib/modules", parts.Release), .. options,
        ];
        Report = Tool.Run(parts.Program, words).EnsureSuccess().Output;
        return path;
    }

    /// <summary>Takes a file off a disk without partitions.</summary>
    /// <param name="image">Path of the image.</param>
    /// <param name="file">Name of a file in its root directory.</param>
    /// <returns>Path of the copy.</returns>
    public string TakeFile(string image, string file)
    {
        string copy = _directory[$"file-{Guid.NewGuid():N}"];
        Tool.Run("debugfs", "-R", $"dump /{file} {copy}", image).EnsureSuccess();
        return copy;
    }

    /// <summary>A disk, after the machine has ended: whole, and what its system has written.</summary>
    /// <param name="image">Path of the image.</param>
    /// <param name="partitioned">As it was made.</param>
    /// <param name="file">Name of a file in its root directory.</param>
    /// <returns>Content of the file; empty when there is none.</returns>
    public static string ReadBack(string image, bool partitioned, string file = "written")
    {
        string filesystem = image;
        if (partitioned)
        {
            filesystem = image + ".part";
            Tool.Run("dd", $"if={image}", $"of={filesystem}", "bs=1M", $"skip={PartitionStart / Megabyte}", $"count={SystemSize / Megabyte}", "status=none").EnsureSuccess();
        }

        Tool.Run("e2fsck", "-fn", filesystem).EnsureSuccess();
        return Tool.Run("debugfs", "-R", $"cat /{file}", filesystem).Output;
    }

    /// <summary>
    /// Whether, by nbdkit's log filter, something was written, and each write was either followed by a flush or forced to the disk
    /// by itself.
    /// </summary>
    /// <param name="log">Path of the log.</param>
    public static bool IsFlushed(string log)
    {
        string[] lines = File.ReadAllLines(log);
        int flush = Array.FindLastIndex(lines, line => line.Contains(" Flush id=", StringComparison.Ordinal));
        return lines.Any(line => Change().IsMatch(line))
            && !lines.Skip(flush + 1).Any(line => Change().IsMatch(line) && line.Contains("fua=0", StringComparison.Ordinal));
    }

    /// <summary>Reads that were under way at once, at most, by nbdkit's log filter.</summary>
    /// <param name="log">Path of the log.</param>
    public static int MostReadsAtOnce(string log)
    {
        int most = 0;
        int count = 0;
        foreach (string line in File.ReadLines(log))
        {
            count += line.Contains(" Read id=", StringComparison.Ordinal) ? 1 : line.Contains(" ...Read ", StringComparison.Ordinal) ? -1 : 0;
            most = Math.Max(most, count);
        }

        return most;
    }

    // What is written is written twice: once with a sync, once left to the end.
    private static string Script() => """
        #!/bin/busybox sh
        export PATH=/bin
        /bin/busybox --install -s /bin
        mount -t tmpfs tmpfs /tmp
        echo "BOOT root: $(grep ' / ' /proc/mounts | tail -n 1)"
        echo "BOOT daemon: $(ps w | grep -v grep | grep -c '@nbdfuse root')"
        echo "BOOT address: $(ip -o -4 addr show dev eth0)"
        for file in systemd/network/00-nbdfuse-root.network initramfs/shutdown; do
            [ ! -s /run/$file ] || echo "BOOT file: $file"
        done
        grep -q '^[^ ]* /nbdfuse' /proc/mounts && echo "BOOT the daemon's filesystem is to be seen"
        if echo synced >/written; then
            sync
            dd if=/dev/zero of=/big bs=64k count=64 2>/dev/null
            echo unsynced >>/written
        fi
        load=$(sed -n 's/.*boottest.load=\([0-9]*\).*/\1/p' /proc/cmdline)
        number=0
        while [ $number -lt "${load:-0}" ]; do
            number=$((number + 1))
            file=/load.$((number % 8))
            dd if=/dev/urandom of=/tmp/load bs=64k count=8 2>/dev/null
            dd if=/tmp/load of=$file bs=64k conv=fsync 2>/dev/null || echo "BOOT load: a write failed"
            # Anew from the server.
            echo 3 >/proc/sys/vm/drop_caches
            cmp /tmp/load $file || echo "BOOT load: not what was written"
            echo "BOOT load $number."
        done
        if grep -q boottest.pressure /proc/cmdline; then
            mkdir /source /held
            number=0
            while [ $number -lt 150 ]; do
                number=$((number + 1))
                dd if=/dev/urandom of=/source/$number bs=64k count=8 2>/dev/null
            done
            (cd /source && md5sum *) >/sums
            tar cf /archive.tar source
            rm -rf /source
            # Memory that nothing can be won from: what is left is for the page cache, and for what serves it.
            mount -t tmpfs -o size=32m tmpfs /held
            dd if=/dev/zero of=/held/held bs=1M count=32 2>/dev/null
            grep Mem /proc/meminfo
            tar xf /archive.tar -C /
            (cd /source && md5sum -c /sums >/dev/null) && echo "BOOT pressure: all is right"
            grep Mem /proc/meminfo
        fi
        if grep -q nbdfuse.record /proc/cmdline; then
            # Written now and then.
            until [ -s /run/nbdfuse.trace ]; do
                sleep 1
            done
            cp /run/nbdfuse.trace /trace
        fi
        echo "BOOT end"
        mount -o remount,ro /
        poweroff -f
        """.Replace("        ", string.Empty, StringComparison.Ordinal) + "\n";

    [GeneratedRegex(" (Write|Zero|Trim) id=.*fua=")]
    private static partial Regex Change();
}
