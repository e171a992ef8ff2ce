using NbdFuse.Native;

namespace NbdFuse.Boot;

/// <summary>Writes the hooks by which a framework puts this program into its initramfs, and takes them away.</summary>
public static class HookInstaller
{
    private const string Placeholder = "@PROGRAM@";
    private const string DracutModule = "usr/lib/dracut/modules.d/95nbdfuse";
    private const string DracutSettings = "etc/dracut.conf.d/nbdfuse.conf";
    private const int FileMode = ArchiveTree.FileMode;
    private const int ProgramMode = ArchiveTree.ProgramMode;

    /// <summary>Frameworks that a system has.</summary>
    /// <param name="root">Its root directory.</param>
    public static IReadOnlyList<HookFramework> Find(string root)
    {
        List<HookFramework> found = [];
        if (File.Exists(Path.Combine(root, "usr/share/initramfs-tools/hook-functions")))
        {
            found.Add(HookFramework.InitramfsTools);
        }

        if (Directory.Exists(Path.Combine(root, "usr/lib/dracut/modules.d")))
        {
            found.Add(HookFramework.Dracut);
        }

        return found;
    }

    /// <summary>Writes the hooks.</summary>
    /// <param name="root">Root directory of the system.</param>
    /// <param name="framework">Whose.</param>
    /// <param name="program">Our program's path, seen from that root.</param>
    /// <returns>What was written.</returns>
    /// <exception cref="BootException">The path cannot stand in a script.</exception>
    public static IReadOnlyList<string> Install(string root, HookFramework framework, string program)
    {
        ArgumentNullException.ThrowIfNull(program);
        if (!program.StartsWith('/') || program.Contains('\'', StringComparison.Ordinal) || program.Any(char.IsControl))
        {
            throw new BootException($"'{program}' cannot stand in a script: it must be an absolute path without quotation marks");
        }

        List<string> written = [];
        foreach ((string path, string? script, int mode) in Files(framework))
        {
            string text = script is null ? "add_dracutmodules+=\" nbdfuse \"\n" : InitramfsBuilder.Script(script);
            string full = Path.Combine(root, path);
            Directory.CreateDirectory(Path.GetDirectoryName(full)!);
            File.WriteAllText(full, text.Replace(Placeholder, program, StringComparison.Ordinal));
            PosixException.Check(Posix.Chmod(full, mode), full);
            written.Add(full);
        }

        return written;
    }

    /// <summary>Takes the hooks away.</summary>
    /// <param name="root">Root directory of the system.</param>
    /// <param name="framework">Whose.</param>
    /// <returns>What was removed.</returns>
    public static IReadOnlyList<string> Uninstall(string root, HookFramework framework)
    {
        List<string> removed = [];
        foreach ((string path, _, _) in Files(framework))
        {
            string full = Path.Combine(root, path);
            if (File.Exists(full))
            {
                File.Delete(full);
                removed.Add(full);
            }
        }

        string module = Path.Combine(root, DracutModule);
        if (framework == HookFramework.Dracut && Directory.Exists(module) && !Directory.EnumerateFileSystemEntries(module).Any())
        {
            Directory.Delete(module);
        }

        return removed;
    }

    private static (string Path, string? Script, int Mode)[] Files(HookFramework framework) => framework == HookFramework.InitramfsTools
        ?
        [
            ("etc/initramfs-tools/hooks/nbdfuse", "initramfs-tools-hook.sh", ProgramMode),
            ("etc/initramfs-tools/scripts/local-top/nbdfuse", "initramfs-tools-local-top.sh", ProgramMode),
        ]
        :
        [
            ($"{DracutModule}/module-setup.sh", "dracut-module-setup.sh", ProgramMode),
            ($"{DracutModule}/parse-nbdfuse.sh", "dracut-parse.sh", ProgramMode),
            ($"{DracutModule}/attach-nbdfuse.sh", "dracut-attach.sh", ProgramMode),
            ($"{DracutModule}/nbdfuse-generator.sh", "dracut-generator.sh", ProgramMode),
            (DracutSettings, null, FileMode),
        ];
}
