using Xunit;

namespace NbdFuse.VmTests.Harness;

/// <summary>How a command in a guest ended: its own verdict, not QEMU's.</summary>
/// <param name="Command">The command.</param>
/// <param name="ExitCode">Its exit code, as its shell says.</param>
/// <param name="Output">Its stdout; the first 4 MiB.</param>
/// <param name="Error">Its stderr; the first 4 MiB.</param>
/// <param name="Console">What the guest's console had said by then; for messages.</param>
public sealed record GuestResult(string Command, int ExitCode, string Output, string Error, string Console)
{
    /// <summary>Fails the test, with all that is known, unless the exit code was 0.</summary>
    /// <returns>This result.</returns>
    public GuestResult EnsureSuccess() => EnsureExit(0);

    /// <summary>Fails the test, with all that is known, unless the exit code was the expected one.</summary>
    /// <param name="expected">The expected exit code.</param>
    /// <returns>This result.</returns>
    public GuestResult EnsureExit(int expected)
    {
        if (ExitCode != expected)
        {
            Assert.Fail($"{this}\n(expected exit code {expected})");
        }

        return this;
    }

    /// <inheritdoc/>
    public override string ToString() =>
        $"{Command}\nexit code {ExitCode}\n--- stdout\n{Output}\n--- stderr\n{Error}\n--- end of the guest's console\n{KernelLog.Tail(Console)}";
}
