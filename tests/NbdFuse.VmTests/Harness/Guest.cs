using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.VmTests.Harness;

/// <summary>
/// A running virtual machine with Debian's kernel and our program, that runs shell commands. Loopback servers of this
/// machine are at 10.0.2.2 in there. It is gone, with QEMU, when it has been disposed.
/// </summary>
/// <example>
/// <code>
/// await using Guest guest = await Guest.StartAsync(new GuestOptions { Modules = ["nbd"], Programs = ["nbd-client"] });
/// GuestResult result = await guest.RunAsync("nbdfuse info nbd://10.0.2.2:10809");
/// result.EnsureSuccess();
/// await guest.ShutDownAsync();
/// </code>
/// </example>
/// <remarks>Commands may run at the same time; each has a session of its own.</remarks>
public sealed class Guest : IAsyncDisposable
{
    /// <summary>How long a command may take when nothing else is said.</summary>
    public static readonly TimeSpan DefaultTimeout = TimeSpan.FromMinutes(3);

    // With a dump of what is blocked, and on a busy machine.
    private static readonly TimeSpan DumpTimeout = TimeSpan.FromSeconds(10);
    private static readonly IPAddress HostAddress = IPAddress.Parse("10.0.2.2");

    private readonly TempDirectory _directory;
    private readonly Qemu _qemu;
    private readonly GuestChannel _channel;
    private readonly QemuMonitor _monitor;

    private Guest(TempDirectory directory, Qemu qemu, GuestChannel channel, QemuMonitor monitor)
    {
        _directory = directory;
        _qemu = qemu;
        _channel = channel;
        _monitor = monitor;
    }

    /// <summary>Process id of QEMU.</summary>
    public int QemuId => _qemu.Id;

    /// <summary>False once it has ended.</summary>
    public bool IsRunning => !_channel.Closed.IsCompleted && !_qemu.HasExited;

    /// <summary>How long the boot took, to the first command.</summary>
    public TimeSpan BootTime { get; private init; }

    /// <summary>What the console has said so far: the kernel's warnings and worse.</summary>
    public string Console => _qemu.Console;

    /// <summary>What the kernel has complained about so far.</summary>
    public IReadOnlyList<KernelProblem> Problems => KernelLog.Problems(Console);

    /// <summary>
    /// Boots a guest. Skips the test where this machine has no parts for it. A boot that fails by the guest's own fault is tried
    /// once more.
    /// </summary>
    /// <param name="options">What it has.</param>
    /// <exception cref="GuestException">It did not come up.</exception>
    public static async Task<Guest> StartAsync(GuestOptions? options = null)
    {
        options ??= new GuestOptions();
        GuestParts parts = GuestParts.Require();
        try
        {
            return await StartOnceAsync(parts, options).ConfigureAwait(false);
        }
        catch (GuestException error) when (KernelLog.IsOwnFault(error.Message))
        {
            Note("booting again", error);
            return await StartOnceAsync(parts, options).ConfigureAwait(false);
        }
    }

    /// <summary>
    /// Boots a guest, runs a test in it, and does it all once more when the guest failed by its own fault
    /// (<see cref="KernelLog.IsOwnFault"/>).
    /// </summary>
    /// <param name="options">What it has.</param>
    /// <param name="test">The test; it must be able to run twice.</param>
    public static async Task UseAsync(GuestOptions options, Func<Guest, Task> test)
    {
        for (int attempt = 1; ; attempt++)
        {
            await using Guest guest = await StartAsync(options).ConfigureAwait(false);
            try
            {
                await test(guest).ConfigureAwait(false);
                return;
            }
            catch (Exception error) when (attempt == 1 && KernelLog.IsOwnFault(guest.Console))
            {
                Note("trying again", error);
            }
        }
    }

    /// <summary>The address of a server of this machine, as the guest reaches it.</summary>
    /// <param name="server">A server on TCP.</param>
    public static string UriOf(RealServer server) => NbdUris.For(EndPointOf(server.EndPoint), server.ExportName);

    /// <summary>The address of something of this machine, as the guest reaches it.</summary>
    /// <param name="endPoint">A TCP address on the loopback.</param>
    public static IPEndPoint EndPointOf(EndPoint endPoint) => new(HostAddress, ((IPEndPoint)endPoint).Port);

    /// <summary>
    /// Runs a script by <c>sh -e</c> as root: a command that fails ends it. Programs of <see cref="GuestOptions.Programs"/> come
    /// before busybox's.
    /// </summary>
    /// <param name="script">The script; any number of lines.</param>
    /// <param name="timeout">How long it may take; <see cref="DefaultTimeout"/> by default.</param>
    /// <returns>What it said, and how it ended.</returns>
    /// <exception cref="GuestDiedException">The guest died meanwhile.</exception>
    /// <exception cref="GuestTimeoutException">It did not end; it still runs.</exception>
    public async Task<GuestResult> RunAsync(string script, TimeSpan? timeout = null)
    {
        TimeSpan limit = timeout ?? DefaultTimeout;
        (int id, Task<GuestReply> end) = _channel.Start(script);
        try
        {
            GuestReply reply = await end.WaitAsync(limit).ConfigureAwait(false);
            return new GuestResult(script, reply.ExitCode, reply.Output, reply.Error, Console);
        }
        catch (TimeoutException)
        {
            GuestReply part = await TryDumpAsync(id).ConfigureAwait(false);
            throw new GuestTimeoutException(
                $"The guest did not end within {limit.TotalSeconds} s:\n{script}\n--- stdout so far\n{part.Output}\n--- stderr so far\n{part.Error}\n{Describe()}");
        }
        catch (IOException)
        {
            await WaitForConsoleAsync().ConfigureAwait(false);
            throw new GuestDiedException($"The guest died while it ran:\n{script}\n{Describe()}");
        }
    }

    /// <summary>Plugs the guest's network cable in or out. Connections stay, what is sent meanwhile is lost.</summary>
    /// <param name="isUp">In.</param>
    public Task SetLinkAsync(bool isUp) => _monitor.ExecuteAsync(
        "set_link", new System.Text.Json.Nodes.JsonObject { ["name"] = "network", ["up"] = isUp });

    /// <summary>Fails the test when the kernel has complained about anything.</summary>
    /// <param name="expected">What it may complain about.</param>
    public void AssertHealthy(params KernelProblemKind[] expected)
    {
        KernelProblem[] problems = [.. Problems.Where(problem => !expected.Contains(problem.Kind))];
        if (problems.Length > 0)
        {
            Assert.Fail($"The guest's kernel complained:\n{string.Join('\n', problems.Select(static problem => $"{problem.Kind}: {problem.Line}"))}\n{Describe()}");
        }
    }

    /// <summary>Powers the guest off and fails the test unless it got so far, without a complaint of the kernel.</summary>
    /// <param name="expected">What the kernel may complain about.</param>
    public async Task ShutDownAsync(params KernelProblemKind[] expected)
    {
        await _channel.PowerOffAsync().ConfigureAwait(false);
        using var deadline = new CancellationTokenSource(DefaultTimeout);
        try
        {
            await _qemu.WaitAsync(deadline.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            throw new GuestTimeoutException($"The guest did not power off within {DefaultTimeout.TotalSeconds} s.\n{Describe()}");
        }

        if (!Console.Contains("reboot: Power down", StringComparison.Ordinal))
        {
            throw new GuestDiedException($"The guest ended without powering off.\n{Describe()}");
        }

        AssertHealthy(expected);
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync()
    {
        _qemu.Dispose();
        _channel.Dispose();
        _monitor.Dispose();
        _directory.Dispose();
        return ValueTask.CompletedTask;
    }

    private static async Task<Guest> StartOnceAsync(GuestParts parts, GuestOptions options)
    {
        var directory = new TempDirectory();
        Qemu? qemu = null;
        GuestChannel? channel = null;
        QemuMonitor? monitor = null;
        try
        {
            long start = Stopwatch.GetTimestamp();
            using Socket listener = Listen(directory["command"]);
            using Socket monitorListener = Listen(directory["monitor"]);
            qemu = Qemu.Start(parts, options, directory, directory["command"], directory["monitor"]);
            using var deadline = new CancellationTokenSource(options.BootTimeout);
            try
            {
                // QEMU connects before it runs the guest, or ends with a message.
                Task<Socket[]> accept = Task.WhenAll(
                    listener.AcceptAsync(deadline.Token).AsTask(), monitorListener.AcceptAsync(deadline.Token).AsTask());
                Task exit = qemu.WaitAsync(deadline.Token);
                if (await Task.WhenAny(accept, exit).ConfigureAwait(false) == exit)
                {
                    await exit.ConfigureAwait(false);
                    throw new GuestDiedException($"QEMU did not start: {qemu.Log}");
                }

                Socket[] sockets = await accept.ConfigureAwait(false);
                channel = new GuestChannel(sockets[0]);
                monitor = new QemuMonitor(sockets[1]);
                await channel.Ready.WaitAsync(deadline.Token).ConfigureAwait(false);
            }
            catch (OperationCanceledException)
            {
                throw new GuestTimeoutException(
                    $"The guest did not boot within {options.BootTimeout.TotalSeconds} s.\n{KernelLog.Tail(qemu.Console)}\n{qemu.Log}");
            }
            catch (IOException)
            {
                throw new GuestDiedException($"The guest died while it booted.\n{KernelLog.Tail(qemu.Console)}\n{qemu.Log}");
            }

            return new Guest(directory, qemu, channel, monitor) { BootTime = Stopwatch.GetElapsedTime(start) };
        }
        catch
        {
            qemu?.Dispose();
            channel?.Dispose();
            monitor?.Dispose();
            directory.Dispose();
            throw;
        }
    }

    private static Socket Listen(string path)
    {
        var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(new UnixDomainSocketEndPoint(path));
        listener.Listen(1);
        return listener;
    }

    /// <summary>Tells, in the log of the run, that a test is not judged by its first attempt.</summary>
    /// <param name="what">What is done about it.</param>
    /// <param name="error">How the attempt ended.</param>
    internal static void Note(string what, Exception error) => System.Console.Error.WriteLine(
        $"warning: {TestContext.Current.Test?.TestDisplayName}: the guest failed by its own fault, {what}: {error.Message}");

    private async Task<GuestReply> TryDumpAsync(int id)
    {
        try
        {
            return await _channel.DumpAsync(id).WaitAsync(DumpTimeout).ConfigureAwait(false);
        }
        catch (Exception error) when (error is TimeoutException or IOException)
        {
            return new GuestReply(0, "(the guest does not answer)", string.Empty);
        }
    }

    // The line to the shell breaks with the guest; QEMU ends a little later, and only then the console is complete.
    private async Task WaitForConsoleAsync()
    {
        using var deadline = new CancellationTokenSource(DumpTimeout);
        try
        {
            await _qemu.WaitAsync(deadline.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            // It goes on without its line: what the console has must do.
        }
    }

    private string Describe() => $"--- end of the guest's console\n{KernelLog.Tail(Console)}\n--- QEMU\n{_qemu.Log}";
}
