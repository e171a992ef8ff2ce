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
    public static Task<string[]> RunAsync(params string[] words) => Task.Factory.StartNew(
        () =>
        {
            try
            {
                return Run(words);
            }
            catch (IOException e)
            {
                return [Error, e.Message];
            }
        },
        CancellationToken.None,
        TaskCreationOptions.LongRunning,
        TaskScheduler.Default);

    private static string[] Run(string[] words)
    {
        PosixException.Check(Posix.Pipe2(out int readEnd, out int writeEnd), "make a pipe");
        using FileDescriptor reader = FileDescriptor.Own(readEnd);
        using FileDescriptor writer = FileDescriptor.Own(writeEnd);
        using FileDescriptor nothing = FileDescriptor.OwnOrThrow(Posix.Open("/dev/null", OpenFlags.ReadWrite), "/dev/null");
        using ChildProcess child = ChildProcess.Spawn(new SpawnOptions
        {
            Argv = [.. OwnProgram.Argv, Verb, .. words],
            Descriptors = [(nothing.Value, 0), (writer.Value, 1)],
            NewSession = true,
        });
        writer.Dispose();
        string answer = PipeText.Read(reader, MaximumAnswer);
        child.WaitForExit(Timeout.InfiniteTimeSpan);
        string[] fields = answer.TrimEnd('\n').Split('\t');
        return fields[0] is Done or Busy or Error ? fields : [Error, $"the helper process ended with exit code {child.ExitCode}"];
    }
}
