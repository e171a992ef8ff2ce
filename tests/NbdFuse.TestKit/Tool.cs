using System.Diagnostics;

namespace NbdFuse.TestKit;

/// <summary>Runs programs to their end, never longer than a deadline.</summary>
public static class Tool
{
    /// <summary>Deadline of <see cref="Run(string, string[])"/>.</summary>
    public static readonly TimeSpan DefaultTimeout = TimeSpan.FromSeconds(60);

    /// <summary>Runs a program for 60 s at most.</summary>
    /// <param name="file">Name or path of the program.</param>
    /// <param name="args">Arguments, unquoted.</param>
    /// <exception cref="TimeoutException">It did not end in time; it and its children have been killed.</exception>
    public static ToolResult Run(string file, params string[] args) => Run(DefaultTimeout, file, args);

    /// <summary>Runs a program.</summary>
    /// <param name="timeout">Deadline.</param>
    /// <param name="file">Name or path of the program.</param>
    /// <param name="args">Arguments, unquoted.</param>
    /// <exception cref="TimeoutException">It did not end in time; it and its children have been killed.</exception>
    public static ToolResult Run(TimeSpan timeout, string file, params string[] args) =>
        RunAsync(timeout, file, args).GetAwaiter().GetResult();

    /// <summary>Runs a program for 60 s at most.</summary>
    /// <param name="file">Name or path of the program.</param>
    /// <param name="args">Arguments, unquoted.</param>
    /// <exception cref="TimeoutException">It did not end in time; it and its children have been killed.</exception>
    public static Task<ToolResult> RunAsync(string file, params string[] args) => RunAsync(DefaultTimeout, file, args);

    /// <summary>Runs a program.</summary>
    /// <param name="timeout">Deadline.</param>
    /// <param name="file">Name or path of the program.</param>
    /// <param name="args">Arguments, unquoted.</param>
    /// <exception cref="TimeoutException">It did not end in time; it and its children have been killed.</exception>
    public static async Task<ToolResult> RunAsync(TimeSpan timeout, string file, params string[] args)
    {
        await using var tool = new BackgroundTool(file, args);
        using var deadline = new CancellationTokenSource(timeout);
        try
        {
            int exitCode = await tool.WaitForExitAsync(deadline.Token).ConfigureAwait(false);
            return new ToolResult(tool.CommandLine, exitCode, tool.Output, tool.Error);
        }
        catch (OperationCanceledException)
        {
            tool.Kill();
            throw new TimeoutException(
                $"'{tool.CommandLine}' did not end within {timeout.TotalSeconds} s and was killed.\n--- stdout\n{tool.Output}\n--- stderr\n{tool.Error}");
        }
    }

    internal static string Describe(ProcessStartInfo start) =>
        string.Join(' ', start.ArgumentList.Prepend(start.FileName).Select(word => word.Contains(' ') ? $"'{word}'" : word));
}
