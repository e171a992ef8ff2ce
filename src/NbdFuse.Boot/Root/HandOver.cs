using System.Globalization;
using NbdFuse.Native;

namespace NbdFuse.Boot;

/// <summary>
/// What the new system finds in /run: files that keep its network managers from taking down the interface that carries its root,
/// and the hook by which systemd lets go of the root at the end.
/// </summary>
public static class HandOver
{
    /// <summary>Writes them.</summary>
    /// <param name="run">The directory /run.</param>
    /// <param name="network">The network of the boot.</param>
    public static void WriteNetwork(string run, NetworkState network)
    {
        ArgumentNullException.ThrowIfNull(network);
        if (network.Interface is not { } name)
        {
            return;
        }

        // By the hardware address: udev may give the interface another name.
        string match = network.HardwareAddress is { } address ? $"MACAddress={address}" : $"Name={name}";
        Write($"{run}/systemd/network/00-nbdfuse-root.network", $"[Match]\n{match}\n\n[Link]\nUnmanaged=yes\n");
        string manager = network.HardwareAddress is { } mac ? $"mac:{mac}" : $"interface-name:{name}";
        Write($"{run}/NetworkManager/conf.d/00-nbdfuse-root.conf", $"[device-nbdfuse-root]\nmatch-device={manager}\nmanaged=0\n");

        // ifupdown takes interfaces down at the end, before the root is unmounted.
        foreach (string unit in new[] { "networking", "ifup@" })
        {
            Write($"{run}/systemd/system/{unit}.service.d/nbdfuse-root.conf", "[Service]\nExecStop=\n");
        }

        string[] servers = [.. network.Facts.NameServers.Where(ServerText.IsAddress)];
        if (servers.Length > 0)
        {
            string domain = network.Facts.Domain is { } text && ServerText.IsHost(text) ? $"Domains={text}\n" : string.Empty;
            Write($"{run}/systemd/resolved.conf.d/nbdfuse-root.conf", $"[Resolve]\nDNS={string.Join(' ', servers)}\n{domain}");
        }
    }

    /// <summary>Writes the hook that systemd calls at the end (bootup(7), "the exitrd"), and Debian's exemption for sysvinit.</summary>
    /// <param name="run">The directory /run.</param>
    /// <param name="root">The initramfs: where busybox and the script are.</param>
    /// <param name="pid">The process that serves the device; 0 for none.</param>
    /// <param name="device">The whole device.</param>
    /// <param name="driver">Its driver.</param>
    public static void WriteShutdown(string run, string root, int pid, string device, string driver)
    {
        string hook = $"{run}/initramfs";
        Directory.CreateDirectory($"{hook}/bin");
        foreach (string directory in new[] { "etc", "dev", "proc", "sys", "run", "oldroot" })
        {
            Directory.CreateDirectory($"{hook}/{directory}");
        }

        File.Copy(Busybox.PathBelow(root), $"{hook}/bin/busybox", overwrite: true);
        foreach (string applet in new[] { "sh", "sed", "sort", "umount", "losetup", "kill", "sleep", "sync", "poweroff", "reboot", "halt", "echo" })
        {
            string link = $"{hook}/bin/{applet}";
            File.Delete(link);
            File.CreateSymbolicLink(link, "busybox");
        }

        Write($"{hook}/etc/nbdfuse-root", string.Create(CultureInfo.InvariantCulture, $"{pid} {device} {driver}\n"));
        File.Copy($"{root}/etc/nbdfuse/shutdown.sh", $"{hook}/shutdown", overwrite: true);
        foreach (string program in new[] { $"{hook}/bin/busybox", $"{hook}/shutdown" })
        {
            PosixException.Check(Posix.Chmod(program, ArchiveTree.ProgramMode), program);
        }

        if (pid > 0)
        {
            // Of Debian's killall5: processes that must outlive the others.
            Write($"{run}/sendsigs.omit.d/nbdfuse", string.Create(CultureInfo.InvariantCulture, $"{pid}\n"));
        }
    }

    private static void Write(string path, string text)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllText(path, text);
    }
}
