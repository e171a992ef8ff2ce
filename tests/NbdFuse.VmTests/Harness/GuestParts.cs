using System.Runtime.CompilerServices;
using NbdFuse.TestKit;

namespace NbdFuse.VmTests.Harness;

/// <summary>
/// What guests are made of: QEMU, the parts that tests/lib/vm.sh prepares, the published program. Lacking one of them
/// skips the test, or fails it where NBDFUSE_REQUIRE promises "vm".
/// </summary>
internal sealed class GuestParts
{
    private const string Name = "vm";

    // Once per process: a script runs, and nothing changes meanwhile.
    private static readonly Lazy<(GuestParts? Parts, string Problem)> Found = new(Find);

    private GuestParts(string qemu, string setpriv, string shell, string program, string directory)
    {
        Qemu = qemu;
        Setpriv = setpriv;
        Shell = shell;
        Program = program;
        Directory = directory;
        Release = File.ReadAllText(Path.Combine(directory, "release")).Trim();
        string unpacked = Path.Combine(directory, "vmlinux");
        Kernel = File.Exists(unpacked) ? unpacked : Path.Combine(directory, "vmlinuz");
        Busybox = Path.Combine(directory, "busybox");
        Modules = new KernelModules(Path.Combine(directory, "modules", "lib", "modules", Release));
    }

    /// <summary>Path of QEMU.</summary>
    public string Qemu { get; }

    /// <summary>Path of setpriv.</summary>
    public string Setpriv { get; }

    /// <summary>A shell without applets of its own.</summary>
    public string Shell { get; }

    /// <summary>Our published program: one file.</summary>
    public string Program { get; }

    /// <summary>Where the parts lie.</summary>
    public string Directory { get; }

    /// <summary>Version of the kernel.</summary>
    public string Release { get; }

    /// <summary>The kernel.</summary>
    public string Kernel { get; }

    /// <summary>A static busybox.</summary>
    public string Busybox { get; }

    /// <summary>The kernel's modules.</summary>
    public KernelModules Modules { get; }

    /// <summary>Where things are kept that are worth keeping.</summary>
    public string Cache => Path.GetDirectoryName(Directory)!;

    /// <summary>Finds everything, or skips the test.</summary>
    public static GuestParts Require()
    {
        (GuestParts? parts, string problem) = Found.Value;
        if (parts is null)
        {
            Requires.Missing(Name, problem);
        }

        return parts!;
    }

    private static (GuestParts? Parts, string Problem) Find()
    {
        var programs = new Dictionary<string, string>();
        foreach (string name in new[] { "qemu-system-x86_64", "setpriv", "dash", "mke2fs", "ldd", "bash" })
        {
            if (Requires.FindCommand(name) is not string path)
            {
                return (null, $"there is no command '{name}' on this machine");
            }

            programs[name] = path;
        }

        string program = NbdfuseBinary.FullPath;
        if (!File.Exists(program) || File.Exists(program + ".dll"))
        {
            return (null, $"{program} is not the published program (dotnet publish src/NbdFuse.Cli, or NBDFUSE=PROGRAM)");
        }

        string script = Path.GetFullPath(Path.Combine(SourceDirectory(), "../../lib/vm.sh"));
        ToolResult result = Tool.Run(TimeSpan.FromMinutes(5), programs["bash"], script);
        if (result.ExitCode != 0)
        {
            return (null, $"{script} failed: {result.Error.Trim()}");
        }

        return (new GuestParts(programs["qemu-system-x86_64"], programs["setpriv"], programs["dash"], program, result.Output.Trim()), string.Empty);
    }

    private static string SourceDirectory([CallerFilePath] string path = "") => Path.GetDirectoryName(path)!;
}
