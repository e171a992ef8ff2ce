using System.Diagnostics;
using System.Net.Sockets;
using System.Text.Json.Nodes;
using NbdFuse.Native;
using NbdFuse.TestKit;
using NbdFuse.VmTests.Harness;
using Xunit;

namespace NbdFuse.VmTests.Boot;

/// <summary>A machine that boots with an initramfs of our own making; all that is known of it is its console.</summary>
internal sealed class BootMachine : IDisposable
{
    /// <summary>How long the way to a system may take, on a busy machine.</summary>
    public static readonly TimeSpan BootTimeout = TimeSpan.FromSeconds(180);

    private const int SignalKill = 9;
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(100);

    private readonly TempDirectory _directory;
    private readonly ChildProcess _process;

    private BootMachine(TempDirectory directory, ChildProcess process)
    {
        _directory = directory;
        _process = process;
    }

    /// <summary>What the console has said so far.</summary>
    public string Console
    {
        get
        {
            using FileStream file = File.Open(_directory["console.log"], FileMode.OpenOrCreate, FileAccess.Read, FileShare.ReadWrite);
            using var reader = new StreamReader(file);
            return KernelLog.Clean(reader.ReadToEnd());
        }
    }

    /// <summary>Switches a machine on.</summary>
    /// <param name="initramfs">Path of the initramfs.</param>
    /// <param name="arguments">For the kernel.</param>
    /// <param name="hasNetwork">Whether there is a network behind the card, with DHCP.</param>
    /// <param name="memoryMiB">Memory.</param>
    /// <param name="qemuArguments">Further arguments for QEMU.</param>
    public static BootMachine Start(
        string initramfs, string arguments, bool hasNetwork = true, int memoryMiB = 512, IReadOnlyList<string>? qemuArguments = null)
    {
        GuestParts parts = GuestParts.Require();
        var directory = new TempDirectory();
        using FileStream output = File.Create(directory["qemu.log"]);
        using FileStream input = File.OpenRead("/dev/null");
        int outputFd = (int)output.SafeFileHandle.DangerousGetHandle();
        ChildProcess process = ChildProcess.Spawn(new SpawnOptions
        {
            Argv =
            [
                parts.Setpriv, "--pdeathsig", "KILL", "--",
                parts.Qemu, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
                "-machine", "pc", "-accel", "tcg", "-cpu", "max,-cx16", "-smp", "1", "-m", $"{memoryMiB}",
                "-kernel", parts.Kernel, "-initrd", initramfs,
                "-append",
                "console=ttyS0 loglevel=5 panic=-1 oops=panic sysctl.kernel.hung_task_timeout_secs=30 net.ifnames=0 mitigations=off nokaslr "
                + $"no_timer_check tsc=reliable cryptomgr.notests audit=0 apparmor=0 {arguments}",
                "-chardev", $"file,id=console,path={directory["console.log"]}", "-serial", "chardev:console",
                "-netdev", hasNetwork ? "user,id=network" : "hubport,id=network,hubid=0",
                "-device", "virtio-net-pci,netdev=network,romfile=,id=card",
                "-chardev", $"socket,id=monitor,path={directory["monitor"]},server=on,wait=off", "-mon", "chardev=monitor,mode=control",
                .. qemuArguments ?? [],
            ],
            NewSession = true,
            Descriptors = [((int)input.SafeFileHandle.DangerousGetHandle(), 0), (outputFd, 1), (outputFd, 2)],
        });
        return new BootMachine(directory, process);
    }

    /// <summary>Plugs the cable of the network card in or out.</summary>
    /// <param name="isUp">In.</param>
    public async Task SetLinkAsync(bool isUp)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            await socket.ConnectAsync(new UnixDomainSocketEndPoint(_directory["monitor"])).ConfigureAwait(false);
        }
        catch
        {
            socket.Dispose();
            throw;
        }

        using var monitor = new QemuMonitor(socket);
        await monitor.ExecuteAsync("set_link", new JsonObject { ["name"] = "card", ["up"] = isUp }).ConfigureAwait(false);
    }

    /// <summary>Waits until the console has said something.</summary>
    /// <param name="text">What.</param>
    public async Task SaysAsync(string text)
    {
        var watch = Stopwatch.StartNew();
        while (!Console.Contains(text, StringComparison.Ordinal))
        {
            Assert.False(_process.WaitForExit(TimeSpan.Zero), $"The machine ended without saying '{text}':\n{Console}");
            Assert.True(watch.Elapsed < BootTimeout, $"The machine did not say '{text}':\n{Console}");
            await Task.Delay(Pause).ConfigureAwait(false);
        }
    }

    /// <summary>Waits until the machine has switched itself off, without complaints.</summary>
    /// <param name="timeout">How long that may take; null for <see cref="BootTimeout"/>.</param>
    public async Task EndsWellAsync(TimeSpan? timeout = null)
    {
        using var deadline = new CancellationTokenSource(timeout ?? BootTimeout);
        try
        {
            await _process.WaitAsync(deadline.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            Assert.Fail($"The machine did not end:\n{Console}");
        }

        string console = Console;
        Assert.True(console.Contains("reboot: Power down", StringComparison.Ordinal), console);
        Assert.True(KernelLog.Problems(console).Count == 0, console);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _process.Kill(SignalKill);
        _process.WaitForExit(TimeSpan.FromSeconds(30));
        _process.Dispose();
        _directory.Dispose();
    }
}
