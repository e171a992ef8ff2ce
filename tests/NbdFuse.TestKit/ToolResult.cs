using Xunit;

namespace NbdFuse.TestKit;

/// <summary>How a program ended.</summary>
/// <param name="CommandLine">What was run, for messages.</param>
/// <param name="ExitCode">Exit code; 128 + signal when a signal ended it.</param>
/// <param name="Output">All of stdout.</param>
/// <param name="Error">All of stderr.</param>
public sealed record ToolResult(string CommandLine, int ExitCode, string Output, string Error)
{
    /// <summary>Fails the test, with all that the program said, unless the exit code was 0.</summary>
    /// <returns>This result.</returns>
    public ToolResult EnsureSuccess() => EnsureExit(0);

    /// <summary>Fails the test, with all that the program said, unless the exit code was the expected one.</summary>
    /// <param name="expected">The expected exit code.</param>
    /// <returns>This result.</returns>
    public ToolResult EnsureExit(int expected)
    {
        if (ExitCode != expected)
        {
            Assert.Fail($"{this}\n(expected exit code {expected})");
        }

        return this;
    }

    /// <inheritdoc/>
    public override string ToString() =>
        $"{CommandLine}\nexit code {ExitCode}\n--- stdout\n{Output}\n--- stderr\n{Error}";
}
