using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>The form of every error: one line, from this program, with the cause, and exit code 1.</summary>
internal static class OneLine
{
    /// <summary>Fails unless a run ended with an error in that form.</summary>
    /// <param name="result">The run.</param>
    /// <param name="parts">What the line must hold.</param>
    public static void AssertError(ToolResult result, params string[] parts)
    {
        result.EnsureExit(1);
        Assert.Empty(result.Output);
        AssertError(result.Error, parts);
    }

    /// <summary>Fails unless what was written to stderr is an error in that form.</summary>
    /// <param name="error">The text.</param>
    /// <param name="parts">What the line must hold.</param>
    public static void AssertError(string error, params string[] parts)
    {
        string line = Assert.Single(error.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Assert.StartsWith("nbdfuse: ", line);
        Assert.DoesNotContain("internal error", line);
        Assert.All(parts, part => Assert.Contains(part, line, StringComparison.OrdinalIgnoreCase));
    }
}
