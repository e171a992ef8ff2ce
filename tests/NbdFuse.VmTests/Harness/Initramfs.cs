using System.Text;

namespace NbdFuse.VmTests.Harness;

/// <summary>The first and only root filesystem of a guest. Not compressed: software emulation unpacks slowly.</summary>
internal static class Initramfs
{
    // In every guest: the network, and what most tests use.
    private static readonly string[] BaseModules = ["virtio_net", "loop"];

    /// <summary>Writes the archive.</summary>
    /// <param name="path">Where to.</param>
    /// <param name="parts">What it is made of.</param>
    /// <param name="options">What the test asks for.</param>
    public static void Write(string path, GuestParts parts, GuestOptions options)
    {
        using FileStream file = File.Create(path);
        var archive = new CpioArchive(file);
        foreach (string directory in new[] { "proc", "sys", "dev", "run", "tmp", "usr", "root", "mnt", "var", "etc", "sbin" })
        {
            archive.AddDirectory(directory);
        }

        // What process 1 says before /dev is mounted goes to the console.
        archive.AddCharacterDevice("dev/console", 5, 1);
        archive.AddFile("init", Resource("init.sh"), GuestFile.ProgramMode);
        archive.AddFile("harness", Resource("harness.sh"), GuestFile.ProgramMode);
        archive.AddFile("bb/busybox", File.ReadAllBytes(parts.Busybox), GuestFile.ProgramMode);
        archive.AddLink("sbin/modprobe", "/bb/busybox");
        archive.AddLink("etc/mtab", "/proc/mounts");
        archive.AddFile("etc/passwd", Text("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"), GuestFile.DefaultMode);
        archive.AddFile("etc/group", Text("root:x:0:\nnogroup:x:65534:\n"), GuestFile.DefaultMode);
        archive.AddFile("etc/hosts", Text("127.0.0.1 localhost\n10.0.2.2 host\n"), GuestFile.DefaultMode);
        archive.AddFile("bin/sh", File.ReadAllBytes(parts.Shell), GuestFile.ProgramMode);
        archive.AddFile("bin/nbdfuse", File.ReadAllBytes(parts.Program), GuestFile.ProgramMode);
        foreach (string library in HostPrograms.Libraries(parts.Program).Union(HostPrograms.Libraries(parts.Shell)))
        {
            archive.AddFile(library, File.ReadAllBytes(library), GuestFile.ProgramMode);
        }

        string[] disk = options.HasDisk ? ["virtio_blk"] : [];
        List<string> modules = parts.Modules.Closure(
            [.. BaseModules, .. disk, .. options.Modules.Select(static line => line.Split(' ')[0]), .. options.AvailableModules]);
        parts.Modules.AddTo(archive, $"lib/modules/{parts.Release}", modules);
        string[] toLoad = ["loop", .. disk, .. options.Modules];
        archive.AddFile("etc/modules-to-load", Text(string.Concat(toLoad.Select(static line => line + "\n"))), GuestFile.DefaultMode);
        if (disk.Length > 0)
        {
            archive.AddFile("etc/programs", [], GuestFile.DefaultMode);
            if (File.Exists("/etc/mke2fs.conf"))
            {
                archive.AddFile("etc/mke2fs.conf", File.ReadAllBytes("/etc/mke2fs.conf"), GuestFile.DefaultMode);
            }
        }

        if (options.HasGuestTool)
        {
            archive.AddFile("bin/guest-tool", Text(GuestToolFiles.Wrapper), GuestFile.ProgramMode);
        }

        foreach (GuestFile extra in options.Files)
        {
            archive.AddFile(extra.Path, extra.Content, extra.Mode);
        }

        archive.Complete();
    }

    private static byte[] Text(string text) => Encoding.UTF8.GetBytes(text);

    private static byte[] Resource(string name)
    {
        using Stream stream = typeof(Initramfs).Assembly.GetManifestResourceStream(name)
            ?? throw new InvalidOperationException($"There is no resource '{name}'.");
        byte[] content = new byte[stream.Length];
        stream.ReadExactly(content);
        return content;
    }
}
