using System.Globalization;
using NbdFuse.Attach.KernelNbd;
using NbdFuse.Native;
using NbdFuse.Protocol;

namespace NbdFuse.Cli;

/// <summary>
/// The process that runs a device of the kernel's nbd driver by ioctl, and stays in the kernel until it ends. Its own, since any
/// signal that reaches the thread in there ends the device.
/// </summary>
internal static class NbdIoctlHelper
{
    /// <summary>The hidden verb: INDEX SIZE BLOCK FLAGS TIMEOUT SOCKETS, and the sockets from descriptor 3 on.</summary>
    public const string Verb = "__nbd-ioctl";

    private const int FirstSocket = 3;
    private const int MaximumAnswer = 4096;

    /// <summary>Starts the process.</summary>
    /// <param name="index">Number of the device.</param>
    /// <param name="geometry">What the driver is told about the export.</param>
    /// <param name="timeoutSeconds">Seconds that a request may take; 0 for ever.</param>
    /// <param name="sockets">The connections.</param>
    /// <returns>
    /// Number of the process, and a task that ends when the device has ended: with why, or an empty text when it was disconnected.
    /// </returns>
    public static (int Process, Task<string> Ended) Start(int index, KernelNbdGeometry geometry, int timeoutSeconds, IReadOnlyList<FileDescriptor> sockets)
    {
        PosixException.Check(Posix.Pipe2(out int readEnd, out int writeEnd), "make a pipe");
        FileDescriptor reader = FileDescriptor.Own(readEnd);
        using FileDescriptor writer = FileDescriptor.Own(writeEnd);
        ChildProcess child;
        try
        {
            using FileDescriptor nothing = FileDescriptor.OwnOrThrow(Posix.Open("/dev/null", OpenFlags.ReadWrite), "/dev/null");
            child = ChildProcess.Spawn(new SpawnOptions
            {
                Argv =
                [
                    .. OwnProgram.Argv, Verb, Number(index), Number(geometry.Size), Number(geometry.BlockSize),
                    Number((ushort)geometry.Flags), Number(timeoutSeconds), Number(sockets.Count),
                ],
                Descriptors =
                [
                    (nothing.Value, 0), (writer.Value, 1), .. sockets.Select((socket, number) => (socket.Value, FirstSocket + number)),
                ],
                NewSession = true,
            });
        }
        catch
        {
            reader.Dispose();
            throw;
        }

        Task<string> ended = Task.Factory.StartNew(
            () =>
            {
                using (reader)
                using (child)
                {
                    string answer = PipeText.Read(reader, MaximumAnswer);
                    child.WaitForExit(Timeout.InfiniteTimeSpan);
                    return answer.Length > 0 || child.ExitCode == 0
                        ? answer.Trim()
                        : $"the process that ran the device ended with exit code {child.ExitCode}";
                }
            },
            CancellationToken.None,
            TaskCreationOptions.LongRunning,
            TaskScheduler.Default);
        return (child.Pid, ended);
    }

    /// <summary>Runs in that process.</summary>
    /// <param name="words">The words after the verb.</param>
    /// <param name="output">Standard output: hears why the device has ended.</param>
    /// <returns>The exit code.</returns>
    public static async Task<int> RunAsync(IReadOnlyList<string> words, TextWriter output)
    {
        long[] numbers = new long[6];
        if (words.Count != numbers.Length
            || words.Where((word, i) => !long.TryParse(word, NumberStyles.None, CultureInfo.InvariantCulture, out numbers[i])).Any())
        {
            throw new UsageException($"{Verb} is not for users", showUsage: false);
        }

        var geometry = new KernelNbdGeometry
        {
            Size = numbers[1],
            ExportSize = numbers[1],
            BlockSize = (int)numbers[2],
            Flags = (NbdTransmissionFlags)numbers[3],
        };
        string? failure = KernelNbdIoctl.Run(
            (int)numbers[0], geometry, (int)numbers[4], [.. Enumerable.Range(FirstSocket, (int)numbers[5])]);
        if (failure is not null)
        {
            await output.WriteAsync(ErrorText.OneLine(failure) + "\n").ConfigureAwait(false);
            await output.FlushAsync().ConfigureAwait(false);
        }

        return failure is null ? 0 : 1;
    }

    private static string Number(long number) => number.ToString(CultureInfo.InvariantCulture);
}
