using NbdFuse.Native;
using NbdFuse.TestKit;

namespace NbdFuse.VmTests.Harness;

/// <summary>
/// A running QEMU, in a session of its own. It does not outlive this process: the kernel kills it with the thread that
/// started it, which <see cref="ChildProcess"/> keeps for as long as the process lives.
/// </summary>
internal sealed class Qemu : IDisposable
{
    private const int SignalKill = 9;

    private readonly ChildProcess _process;
    private readonly string _consolePath;
    private readonly string _logPath;

    private Qemu(ChildProcess process, string consolePath, string logPath)
    {
        _process = process;
        _consolePath = consolePath;
        _logPath = logPath;
    }

    /// <summary>Process id.</summary>
    public int Id => _process.Pid;

    /// <summary>Whether it has ended.</summary>
    public bool HasExited => _process.WaitForExit(TimeSpan.Zero);

    /// <summary>What the guest's serial line has said so far.</summary>
    public string Console => ReadText(_consolePath);

    /// <summary>What QEMU itself has said so far.</summary>
    public string Log => ReadText(_logPath);

    /// <summary>Starts a guest. It connects to both sockets by itself.</summary>
    /// <param name="parts">What it is made of.</param>
    /// <param name="options">What the test asks for.</param>
    /// <param name="directory">For its files.</param>
    /// <param name="commandSocket">Path of a listening unix socket, for <see cref="GuestChannel"/>.</param>
    /// <param name="monitorSocket">Path of a listening unix socket, for <see cref="QemuMonitor"/>.</param>
    public static Qemu Start(GuestParts parts, GuestOptions options, TempDirectory directory, string commandSocket, string monitorSocket)
    {
        string initramfs = directory["initramfs"];
        Initramfs.Write(initramfs, parts, options);
        string console = directory["console.log"];
        string log = directory["qemu.log"];
        using FileStream output = File.Create(log);
        using FileStream input = File.OpenRead("/dev/null");
        int outputFd = (int)output.SafeFileHandle.DangerousGetHandle();
        string[] disk = !options.HasDisk
            ? []
            :
            [
                "-drive", $"if=none,id=programs,format=raw,readonly=on,file={BuildDisk(parts, options)}",
                "-device", "virtio-blk-pci,drive=programs",
            ];
        ChildProcess process = ChildProcess.Spawn(new SpawnOptions
        {
            Argv =
            [
                parts.Setpriv, "--pdeathsig", "KILL", "--",
                parts.Qemu, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
                // cx16 crashes the guest's kernel, and two processors panic now and then, in software emulation.
                "-machine", "pc", "-accel", "tcg", "-cpu", "max,-cx16", "-smp", "1", "-m", $"{options.MemoryMiB}",
                "-kernel", parts.Kernel, "-initrd", initramfs, "-append", KernelArguments(options),
                "-chardev", $"file,id=console,path={console}", "-serial", "chardev:console",
                "-chardev", $"socket,id=monitor,path={monitorSocket}", "-mon", "chardev=monitor,mode=control",
                "-netdev", "user,id=network", "-device", "virtio-net-pci,netdev=network,romfile=",
                "-device", "virtio-serial-pci",
                "-chardev", $"socket,id=command,path={commandSocket}",
                "-device", "virtserialport,chardev=command,name=org.nbdfuse.command",
                .. disk,
                .. options.QemuArguments,
            ],
            NewSession = true,
            Descriptors = [((int)input.SafeFileHandle.DangerousGetHandle(), 0), (outputFd, 1), (outputFd, 2)],
        });
        return new Qemu(process, console, log);
    }

    /// <summary>Waits for the end.</summary>
    public async Task WaitAsync(CancellationToken cancellation) => await _process.WaitAsync(cancellation).ConfigureAwait(false);

    /// <summary>Kills it, and waits until it is gone.</summary>
    public void Dispose()
    {
        _process.Kill(SignalKill);
        _process.WaitForExit(TimeSpan.FromSeconds(30));
        _process.Dispose();
    }

    private static string BuildDisk(GuestParts parts, GuestOptions options) =>
        HostPrograms.BuildDisk(parts.Cache, options.Programs, options.HasGuestTool ? GuestToolFiles.Find() : []);

    // The console shows warnings and worse. What can be done without costs a second of each boot.
    private static string KernelArguments(GuestOptions options) =>
        "console=ttyS0 loglevel=5 panic=-1 oops=panic sysctl.kernel.hung_task_timeout_secs=30 net.ifnames=0"
        + " mitigations=off nokaslr no_timer_check tsc=reliable cryptomgr.notests audit=0 apparmor=0 "
        + options.KernelArguments;

    private static string ReadText(string path)
    {
        try
        {
            using FileStream file = File.Open(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
            using var reader = new StreamReader(file);
            return KernelLog.Clean(reader.ReadToEnd());
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            // QEMU has not come so far, or the guest is disposed of while a command of it is told that.
            return string.Empty;
        }
    }
}
