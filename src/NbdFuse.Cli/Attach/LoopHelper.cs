using NbdFuse.Native;

namespace NbdFuse.Cli;

/// <summary>
/// Runs what touches the loop device in a process of its own. A thread of the daemon that waited for its own answers could not be
/// killed, and would keep /dev/fuse open for ever.
/// </summary>
internal static class LoopHelper
{
    /// <summary>The hidden verb.</summary>
    public const string Verb = "__loop-helper";

    /// <summary>First word of an answer: done.</summary>
    public const string Done = "done";

    /// <summary>First word of an answer: not done, the device is in use.</summary>
    public const string Busy = "busy";

    /// <summary>First word of an answer: not done, for another reason.</summary>
    public const string Error = "error";

    private const int MaximumAnswer = 64 * 1024;

    /// <summary>Runs the helper.</summary>
    /// <param name="words">What it shall do.</param>
    /// <returns>The fields of its answer: one of the constants, then what belongs to it. Never fails.</returns>
    public static async Task<string[]> RunAsync(params string[] words)
    {
        HelperAnswer answer = await StartAsync(words).ConfigureAwait(false);
        await using (answer.ConfigureAwait(false))
        {
            return answer.Fields;
        }
    }

    /// <summary>
    /// Runs the helper with <see cref="LoopHelperCommand.Hold"/> or <see cref="LoopHelperCommand.Claim"/>: it keeps the device to
    /// itself until its answer is disposed.
    /// </summary>
    /// <param name="words">What it shall do.</param>
    /// <returns>Its answer. Never fails.</returns>
    public static Task<HelperAnswer> StartAsync(params string[] words) => Task.Factory.StartNew(
        () =>
        {
            try
            {
                return Run(words);
            }
            catch (IOException e)
            {
                return new HelperAnswer([Error, e.Message]);
            }
        },
        CancellationToken.None,
        TaskCreationOptions.LongRunning,
        TaskScheduler.Default);

    private static HelperAnswer Run(string[] words)
    {
        PosixException.Check(Posix.Pipe2(out int readEnd, out int writeEnd), "make a pipe");
        using FileDescriptor reader = FileDescriptor.Own(readEnd);
        using FileDescriptor writer = FileDescriptor.Own(writeEnd);
        PosixException.Check(Posix.Pipe2(out readEnd, out writeEnd), "make a pipe");
        using FileDescriptor input = FileDescriptor.Own(readEnd);
        FileDescriptor hold = FileDescriptor.Own(writeEnd);
        ChildProcess child;
        try
        {
            child = ChildProcess.Spawn(new SpawnOptions
            {
                Argv = [.. OwnProgram.Argv, Verb, .. words],
                Descriptors = [(input.Value, 0), (writer.Value, 1)],
                NewSession = true,
            });
        }
        catch
        {
            hold.Dispose();
            throw;
        }

        writer.Dispose();
        input.Dispose();
        string[] fields = PipeText.ReadLine(reader, MaximumAnswer).TrimEnd('\n').Split('\t');
        if (fields[0] is Done or Busy or Error)
        {
            return new HelperAnswer(fields, child, hold);
        }

        hold.Dispose();
        using (child)
        {
            child.WaitForExit(Timeout.InfiniteTimeSpan);
            return new HelperAnswer([Error, $"the helper process ended with exit code {child.ExitCode}"]);
        }
    }
}
