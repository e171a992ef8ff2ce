using NbdFuse.Protocol;

namespace NbdFuse.Boot;

/// <summary>Mounts the root filesystem at <see cref="Target"/>, by processes of their own.</summary>
public static class RootMount
{
    /// <summary>Where it is mounted.</summary>
    public const string Target = "/sysroot";

    private const string Lower = "/run/nbdfuse-boot/lower";
    private const string Upper = "/run/nbdfuse-boot/upper";
    private const int FsckUncorrected = 4;

    /// <summary>Mounts.</summary>
    /// <param name="device">The device that holds the filesystem.</param>
    /// <param name="filesystem">What was recognised there, or null.</param>
    /// <param name="arguments">The boot arguments.</param>
    /// <param name="console">Is told what happens.</param>
    /// <exception cref="BootException">It could not.</exception>
    public static void Mount(string device, FilesystemProbe? filesystem, BootArguments arguments, BootConsole console)
    {
        ArgumentNullException.ThrowIfNull(arguments);
        ArgumentNullException.ThrowIfNull(console);
        bool isReadOnly = arguments.IsReadOnly || arguments.Overlay;
        if (!isReadOnly && IsReadOnlyDevice(device))
        {
            console.Say("the export is read-only: the root is mounted read-only, although rw was asked for");
            isReadOnly = true;
        }

        string[] types = arguments.FileSystem?.Split(',', StringSplitOptions.RemoveEmptyEntries)
            ?? [filesystem?.Type ?? throw new BootException($"no filesystem is recognised on {device}: say which by rootfstype=TYPE")];
        Busybox.LoadModules(types);
        if (arguments.Check)
        {
            Check(device, types[0], console);
        }

        string options = (isReadOnly ? "ro" : "rw") + (arguments.MountOptions is { } more ? $",{more}" : string.Empty);
        string target = arguments.Overlay ? Lower : Target;
        Directory.CreateDirectory(target);
        string? mounted = Array.Find(types, type => Busybox.Run("mount", "-t", type, "-o", options, device, target).ExitCode == 0);
        if (mounted is null)
        {
            throw new BootException($"{device} cannot be mounted as {string.Join(" or ", types)} with the options {NbdText.Sanitize(options, 200)}");
        }

        if (arguments.Overlay)
        {
            PutOverlay();
        }

        console.Say($"{device} ({mounted}) is the root, {(arguments.Overlay ? "read-only, writes go to memory" : isReadOnly ? "read-only" : "read-write")}");
    }

    /// <summary>Undoes it, when the boot cannot go on after all.</summary>
    public static void Undo() => Busybox.Run("umount", Target);

    private static bool IsReadOnlyDevice(string device)
    {
        string path = $"/sys/class/block/{Path.GetFileName(device)}/ro";
        return File.Exists(path) && File.ReadAllText(path).StartsWith('1');
    }

    private static void Check(string device, string type, BootConsole console)
    {
        string? program = new[] { $"/sbin/fsck.{type}", $"/usr/sbin/fsck.{type}" }.FirstOrDefault(File.Exists);
        if (program is null)
        {
            console.Say($"fsck.mode=force: there is no fsck.{type} in the initramfs; make it with --with /sbin/fsck.{type}");
            return;
        }

        int code = ProgramOutput.Run(Timeout.InfiniteTimeSpan, program, "-p", "-f", device).ExitCode;
        if (code is < 0 or >= FsckUncorrected)
        {
            throw new BootException($"{program} {device} ended with exit code {code}: the filesystem has errors that need you");
        }
    }

    // The overlay holds both mounts by itself: nothing of them remains to be seen, or to be unmounted, by the new system.
    private static void PutOverlay()
    {
        Busybox.LoadModules("overlay");
        Directory.CreateDirectory(Upper);
        Busybox.Check("mount memory for writes", "mount", "-t", "tmpfs", "-o", "mode=0755", "nbdfuse-overlay", Upper);
        Directory.CreateDirectory($"{Upper}/upper");
        Directory.CreateDirectory($"{Upper}/work");
        Directory.CreateDirectory(Target);
        Busybox.Check(
            "put memory over the root", "mount", "-t", "overlay", "-o", $"lowerdir={Lower},upperdir={Upper}/upper,workdir={Upper}/work", "nbdfuse-root", Target);
        Busybox.Run("umount", "-l", Lower);
        Busybox.Run("umount", "-l", Upper);
    }
}
