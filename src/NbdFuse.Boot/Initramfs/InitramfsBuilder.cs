using System.IO.Compression;
using System.Reflection;

namespace NbdFuse.Boot;

/// <summary>
/// Makes an initramfs: busybox and a script as the first process, our program with its libraries in a tree of its own, which the
/// script moves into a tmpfs of its own so that it outlives the change to the real root, and the modules that a boot may need.
/// </summary>
public sealed class InitramfsBuilder
{
    /// <summary>Where the tree of the program is mounted at boot: also its root directory, from then on.</summary>
    public const string Tree = "/nbdfuse";

    /// <summary>Where the trace is by which the boot is read ahead, if there is one.</summary>
    public const string PrefetchPath = "/etc/nbdfuse/prefetch";

    /// <summary>Where certificates for TLS are, if there are any: outside of the program's tree, so that they are gone with the initramfs.</summary>
    public const string TlsDirectory = "/etc/nbdfuse/tls";

    /// <summary>Where the pre-shared key for TLS is, if there is one.</summary>
    public const string TlsPskPath = "/etc/nbdfuse/tls/keys.psk";

    private const string PackedTree = "/nbdfuse.tree";

    private const string TlsLibrary = "libssl.so.3";
    private const int SecretMode = 0x180;

    // The first must be there. As libnbd names them.
    private static readonly string[] CertificateFiles = ["ca-cert.pem", "ca-crl.pem", "client-cert.pem", "client-key.pem"];

    // What /init, the hook for shutdowns and udhcpc's script call; the shell for emergencies installs the rest.
    private static readonly string[] Applets =
    [
        "sh", "ash", "cat", "chroot", "cp", "dd", "echo", "find", "grep", "halt", "ifconfig", "ip", "kill", "ln", "losetup", "ls", "mkdir", "mkfifo", "mknod",
        "modprobe", "mount", "mv", "poweroff", "ps", "readlink", "reboot", "rm", "sed", "setsid", "sleep", "sort", "switch_root", "sync", "udhcpc",
        "umount", "xargs",
    ];

    private static readonly string[] SkippedOfRuntime =
    [
        "createdump", "libcoreclrtraceptprovider.so", "libmscordbi.so", "libmscordaccore.so", "libclrgc.so", "libclrgcexp.so",
    ];

    private readonly InitramfsOptions _options;
    private readonly ArchiveTree _tree = new();
    private readonly LibrarySearch _libraries;
    private readonly List<string> _notes = [];
    private readonly HashSet<string> _libraryDirectories = [];
    private string _architecture = string.Empty;
    private string? _kernel;
    private bool _isHook;
    private int _modules;

    private InitramfsBuilder(InitramfsOptions options)
    {
        _options = options;
        _libraries = new LibrarySearch(options.Root);
    }

    /// <summary>Makes the initramfs.</summary>
    /// <param name="options">What goes into it.</param>
    /// <param name="output">Where it goes.</param>
    /// <returns>What it has become.</returns>
    /// <exception cref="BootException">Something is missing on this machine.</exception>
    public static InitramfsReport Build(InitramfsOptions options, Stream output)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(output);
        return new InitramfsBuilder(options).Run(output);
    }

    private InitramfsReport Run(Stream output)
    {
        string start = _options.Runtime is { } runtime ? AddRuntime(runtime) : AddProgram();
        AddBusybox("bin");

        // The kernel itself calls it by this name.
        _tree.AddLink("sbin/modprobe", "../bin/busybox");
        AddTls();
        AddSkeleton(start);
        AddModules();
        if (_options.Prefetch is { } trace)
        {
            _tree.AddFile(PrefetchPath, trace, ArchiveTree.FileMode);
        }

        foreach (string path in _options.With)
        {
            AddExtra(Path.GetFullPath(path));
        }

        using var packed = new MemoryStream();
        long unpacked;
        using (var gzip = new GZipStream(packed, CompressionLevel.Optimal, leaveOpen: true))
        {
            unpacked = _tree.Write(gzip, _options.Time);
        }

        ReadOnlySpan<byte> data = packed.GetBuffer().AsSpan(0, (int)packed.Length);
        if (_options.IsUImage)
        {
            output.Write(UImageHeader.Make(data, _architecture, _options.Time));
        }

        output.Write(data);
        return new InitramfsReport(
            data.Length + (_options.IsUImage ? UImageHeader.Length : 0), unpacked, _modules, _kernel, _notes);
    }

    /// <summary>
    /// Puts the program, busybox and scripts into the initramfs that a framework is making: see <see cref="HookInstaller"/>. What the
    /// framework has there is not touched.
    /// </summary>
    /// <param name="options">Program, and where its libraries are.</param>
    /// <param name="directory">The framework's directory.</param>
    /// <exception cref="BootException">Something is missing on this machine.</exception>
    public static void WriteHookTree(InitramfsOptions options, string directory)
    {
        ArgumentNullException.ThrowIfNull(options);
        new InitramfsBuilder(options) { _isHook = true }.WriteHookTree(directory);
    }

    private void WriteHookTree(string directory)
    {
        string start = AddProgram();
        AddBusybox("etc/nbdfuse/bin");
        AddTls();
        AddTreeSkeleton(start, string.Join(':', _libraryDirectories.Order(StringComparer.Ordinal).Select(library => Tree + library)));
        _tree.AddText("etc/nbdfuse/dhcp.sh", Script("dhcp.sh").Replace("/bin/busybox", "/etc/nbdfuse/bin/busybox", StringComparison.Ordinal)
            .Replace("PATH=/bin", "PATH=/etc/nbdfuse/bin:/bin", StringComparison.Ordinal), ArchiveTree.ProgramMode);
        _tree.AddText("etc/nbdfuse/attach.sh", Script("attach.sh"), ArchiveTree.ProgramMode);
        _tree.AddText("etc/nbdfuse/wanted.sh", Script("wanted.sh"), ArchiveTree.ProgramMode);
        if (_options.Prefetch is { } trace)
        {
            _tree.AddFile(PrefetchPath, trace, ArchiveTree.FileMode);
        }

        _tree.WriteTo(directory);
    }

    /// <summary>A script of ours.</summary>
    /// <param name="name">Its file's name.</param>
    internal static string Script(string name)
    {
        using Stream stream = Assembly.GetExecutingAssembly().GetManifestResourceStream(name)
            ?? throw new InvalidOperationException($"There is no resource '{name}'.");
        using var reader = new StreamReader(stream);
        return reader.ReadToEnd();
    }

    private void CheckArchitecture(ElfFile? elf, string path)
    {
        if (elf is null)
        {
            throw new BootException($"{path} is no program (no ELF file)");
        }

        string found = elf.Architecture ?? $"machine {elf.Machine}";
        if (_architecture.Length == 0)
        {
            _architecture = _options.Architecture ?? found;
        }

        if (found != _architecture)
        {
            throw new BootException($"{path} is for {found}, but the initramfs is for {_architecture}");
        }
    }

    private string AddProgram()
    {
        string program = _options.Program ?? throw new BootException("no program is given");
        CheckArchitecture(ElfFile.TryRead(program), program);
        _tree.AddFile($"{PackedTree}/bin/nbdfuse", program, ArchiveTree.ProgramMode);
        _tree.AddLink($"{PackedTree}/@nbdfuse", "bin/nbdfuse");
        AddTreeLibraries(program, "/bin/nbdfuse");
        return "@nbdfuse";
    }

    private string AddRuntime(string runtime)
    {
        string code = _options.Code ?? throw new BootException("--runtime needs the program's code: give the directory of nbdfuse.dll by --program");
        string muxer = Path.Combine(runtime, "dotnet");
        if (!File.Exists(muxer) || !File.Exists(Path.Combine(code, "nbdfuse.dll")))
        {
            throw new BootException(File.Exists(muxer) ? $"{code} holds no nbdfuse.dll" : $"{runtime} is no .NET runtime: it holds no program dotnet");
        }

        CheckArchitecture(ElfFile.TryRead(muxer), muxer);
        foreach (string file in new[] { muxer }.Concat(new[] { "host/fxr", "shared/Microsoft.NETCore.App" }.SelectMany(part => FilesBelow(Path.Combine(runtime, part)))))
        {
            if (SkippedOfRuntime.Contains(Path.GetFileName(file)))
            {
                continue;
            }

            string place = $"/dotnet/{Path.GetRelativePath(runtime, file)}";
            _tree.AddFile(PackedTree + place, file, ArchiveTree.ProgramMode);
            if (file == muxer || file.EndsWith(".so", StringComparison.Ordinal))
            {
                AddTreeLibraries(file, place);
            }
        }

        foreach (string file in Directory.GetFiles(code, "*.dll").Concat(Directory.GetFiles(code, "nbdfuse.*.json")))
        {
            _tree.AddFile($"{PackedTree}/bin/{Path.GetFileName(file)}", file, ArchiveTree.FileMode);
        }

        _tree.AddLink($"{PackedTree}/@dotnet", "dotnet/dotnet");
        return $"@dotnet {Tree}/bin/nbdfuse.dll";
    }

    private static IEnumerable<string> FilesBelow(string directory) => Directory.Exists(directory)
        ? Directory.GetFiles(directory, "*", SearchOption.AllDirectories).Order(StringComparer.Ordinal)
        : throw new BootException($"{directory} is not there: is this a whole .NET runtime?");

    // In the tree, where the program finds them when it is its root; before, by links that lead there.
    private void AddTreeLibraries(string program, string place)
    {
        foreach ((string target, string source) in _libraries.Find(program, place))
        {
            AddTreeLibrary(target, source);
        }
    }

    private void AddTreeLibrary(string target, string source)
    {
        _tree.AddFile(PackedTree + target, source, ArchiveTree.ProgramMode);
        if (!_isHook)
        {
            _tree.AddLink(target, Tree + target);
        }

        _libraryDirectories.Add(Path.GetDirectoryName(target)!);
    }

    private void AddBusybox(string place)
    {
        string path = _options.Busybox ?? FindBusybox();
        if (!File.Exists(path))
        {
            throw new BootException($"{path} is not there; give a static busybox by --busybox");
        }

        ElfFile? elf = ElfFile.TryRead(path);
        CheckArchitecture(elf, path);
        if (elf!.InterpreterPath is not null)
        {
            throw new BootException($"{path} is not static: install busybox-static, or give a static busybox by --busybox");
        }

        _tree.AddFile($"{place}/busybox", path, ArchiveTree.ProgramMode);
        foreach (string applet in Applets)
        {
            _tree.AddLink($"{place}/{applet}", "busybox");
        }
    }

    // OpenSSL is loaded by its name, by programs that need it: nothing says so in the program's file.
    private void AddTls()
    {
        if (_options.TlsPsk is { } key)
        {
            _tree.AddFile(TlsPskPath, Readable("--tls-psk", key), SecretMode);
        }
        else if (_options.TlsCertificates is { } directory)
        {
            _tree.AddFile($"{TlsDirectory}/{CertificateFiles[0]}", Readable("--tls-certificates", Path.Combine(directory, CertificateFiles[0])), SecretMode);
            foreach (string name in CertificateFiles[1..])
            {
                string path = Path.Combine(directory, name);
                if (File.Exists(path))
                {
                    _tree.AddFile($"{TlsDirectory}/{name}", path, SecretMode);
                }
            }
        }
        else
        {
            return;
        }

        (string target, string source) = _libraries.FindByName(TlsLibrary, _options.Program ?? Path.Combine(_options.Runtime!, "dotnet"));
        AddTreeLibrary(target, source);
        AddTreeLibraries(source, target);
    }

    private static string Readable(string option, string path) =>
        File.Exists(path) ? path : throw new BootException($"{option}: there is no {path}");

    private string FindBusybox()
    {
        foreach (string place in new[] { "bin/busybox", "usr/bin/busybox", "bin/busybox.static", "usr/lib/initcpio/busybox", "sbin/busybox", "usr/sbin/busybox" })
        {
            string path = Path.Combine(_options.Root, place);
            if (File.Exists(path) && ElfFile.TryRead(path) is { InterpreterPath: null })
            {
                return path;
            }
        }

        throw new BootException("there is no static busybox on this machine: install busybox-static, or give one by --busybox PATH");
    }

    private void AddSkeleton(string start)
    {
        foreach (string directory in new[] { "dev", "proc", "sys", "run", "tmp", "sysroot", "etc", Tree })
        {
            _tree.AddDirectory(directory);
        }

        string[] unusual = [.. _libraryDirectories.Where(directory => !IsUsual(directory)).Order(StringComparer.Ordinal)];
        AddTreeSkeleton(start, string.Join(':', unusual));
        _tree.AddCharacterDevice("dev/console", 5, 1);
        _tree.AddText("init", Script("init.sh"), ArchiveTree.ProgramMode);
        _tree.AddText("etc/nbdfuse/dhcp.sh", Script("dhcp.sh"), ArchiveTree.ProgramMode);
        _tree.AddText("etc/passwd", "root:x:0:0:root:/:/bin/sh\n");
        _tree.AddText("etc/group", "root:x:0:\n");
        _tree.AddText("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n");
        _tree.AddLink("etc/mtab", "/proc/mounts");
        _tree.AddLink("etc/resolv.conf", $"{Tree}/etc/resolv.conf");
    }

    private void AddTreeSkeleton(string start, string libraries)
    {
        _tree.AddDirectory(Tree);
        foreach (string directory in new[] { "dev", "proc", "sys", "run", "tmp" })
        {
            _tree.AddDirectory($"{PackedTree}/{directory}");
        }

        // The same path outside and inside: what was looked up before the change of the root directory stays right.
        _tree.AddLink(PackedTree + Tree, ".");

        // Names are resolved inside of the tree, too, when the connection has to be made anew.
        _tree.AddText($"{PackedTree}/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n");
        _tree.AddText("etc/nbdfuse/shutdown.sh", Script("shutdown.sh"), ArchiveTree.ProgramMode);
        _tree.AddText("etc/nbdfuse/start", start + "\n");
        _tree.AddText("etc/nbdfuse/libraries", libraries + "\n");
    }

    private bool IsUsual(string directory) =>
        directory is "/lib" or "/usr/lib" or "/lib64" or "/usr/lib64"
        || directory.StartsWith("/dotnet/", StringComparison.Ordinal)
        || directory == $"/lib/{_architecture}-linux-gnu" || directory == $"/usr/lib/{_architecture}-linux-gnu"
        || directory == "/lib/arm-linux-gnueabihf" || directory == "/usr/lib/arm-linux-gnueabihf";

    private void AddModules()
    {
        if (_options.Modules is not { } directory)
        {
            _notes.Add("without kernel modules: the kernel must have network card, filesystem and driver built in");
            return;
        }

        var modules = new ModuleTree(directory);
        _kernel = modules.Version;
        IReadOnlyList<string> drivers = _options.Drivers.Count > 0 ? _options.Drivers : ["fuse", "ublk", "nbd"];
        foreach (string driver in drivers)
        {
            string[] missing = [.. ModuleNames.OfDriver(driver).Where(name => !modules.Has(name))];
            if (missing.Length > 0 && _options.Drivers.Count > 0)
            {
                throw new BootException($"kernel {_kernel} has no {string.Join(" and no ", missing)}: the driver {driver} cannot work with it");
            }

            if (missing.Length > 0)
            {
                _notes.Add($"kernel {_kernel} has no {string.Join(" and no ", missing)}: the driver {driver} will not be there");
            }
        }

        if (Array.Find([.. _options.ExtraModules], name => !modules.Has(name)) is { } unknown)
        {
            throw new BootException($"kernel {_kernel} has no module {unknown}");
        }

        List<string> paths = modules.Closure(
            [.. ModuleNames.Buses, .. ModuleNames.Network, .. ModuleNames.Filesystems, .. drivers.SelectMany(ModuleNames.OfDriver), .. _options.ExtraModules]);
        modules.AddTo(_tree, paths);
        _modules = paths.Count;
    }

    private void AddExtra(string path)
    {
        if (Directory.Exists(path))
        {
            _tree.AddDirectory(path);
            foreach (string inner in Directory.GetFileSystemEntries(path).Order(StringComparer.Ordinal))
            {
                AddExtra(inner);
            }

            return;
        }

        var file = new FileInfo(path);
        if (!file.Exists && file.LinkTarget is null)
        {
            throw new BootException($"--with {path}: there is no such file");
        }

        if (file.LinkTarget is { } target)
        {
            _tree.AddLink(path, target);
            string full = Path.GetFullPath(Path.Combine(Path.GetDirectoryName(path)!, target));
            if (File.Exists(full) && !_tree.Contains(full))
            {
                AddExtra(full);
            }

            return;
        }

        if ((file.Attributes & FileAttributes.Device) != 0)
        {
            throw new BootException($"--with {path}: devices and sockets cannot be packed");
        }

        _tree.AddFile(path, path, (int)file.UnixFileMode & 0xFFF);
        foreach ((string library, string source) in _libraries.Find(path, path))
        {
            if (!_tree.Contains(library))
            {
                _tree.AddFile(library, source, ArchiveTree.ProgramMode);
            }
        }
    }
}
