using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using NbdFuse.Attach;
using NbdFuse.Native;

namespace NbdFuse.Cli;

/// <summary>The keeper of an attached device: stands between the command that has attached it and the process that serves it.</summary>
internal static class AttachKeeperCommand
{
    /// <summary>The hidden verb of the keeper's process. What follows are the words of attach for the process that serves.</summary>
    public const string Verb = "__attach-keeper";

    /// <summary>The hidden verb of the keeper's process in the foreground.</summary>
    public const string ForegroundVerb = "__attach-keeper-foreground";

    // Where the command that waits for the device is told.
    private const int StatusDescriptor = 3;

    /// <summary>Environment of the keeper: that of a process that the machine's memory depends on, and small.</summary>
    public static IReadOnlyList<string> Environment { get; } = [.. ProcessProtection.Environment, .. KeeperCommand.SmallMemory];

    /// <summary>Replaces this process by the keeper of a device that is served in the foreground: the process id stays.</summary>
    /// <param name="entry">The daemon's directory.</param>
    /// <param name="words">Words of attach.</param>
    public static void Become(AttachEntry entry, IReadOnlyList<string> words)
    {
        try
        {
            ChildProcess.Replace(new SpawnOptions
            {
                Argv = [.. OwnProgram.Argv, ForegroundVerb, AttachCommand.EntryOption, entry.Directory, .. words],
                Environment = Environment,
                IoFlusher = true,
            });
        }
        catch
        {
            entry.Remove();
            throw;
        }
    }

    /// <summary>Runs the keeper of a device that is served in the background.</summary>
    /// <param name="words">Words of attach.</param>
    /// <returns>Exit code.</returns>
    public static int Run(string[] words)
    {
        Posix.SetCloseOnExec(StatusDescriptor, true);
        using FileDescriptor status = FileDescriptor.Own(StatusDescriptor);
        return Run(new SupervisorOptions
        {
            WorkerArgv = WorkerArgv(words),
            Log = LogFrom(LogLevel.Information),
            Usable = path => Tell(status, AttachCommand.Usable + path),
            Explain = text => Tell(status, text),
        });
    }

    /// <summary>Runs the keeper of a device that is served in the foreground. Its worker speaks for itself on standard error.</summary>
    /// <param name="words">Words of attach.</param>
    /// <param name="output">Standard output: receives the path of the device.</param>
    /// <returns>Exit code.</returns>
    public static int RunInForeground(string[] words, TextWriter output) => Run(new SupervisorOptions
    {
        WorkerArgv = WorkerArgv(words),
        Log = LogFrom(LogLevel.Warning),
        Usable = path =>
        {
            output.Write(path + "\n");
            output.Flush();
        },
        Notify = state => SystemdNotifier.Notify(state, NullLogger.Instance),
    });

    private static int Run(SupervisorOptions options)
    {
        ProcessProtection.Apply();

        // Workers go back to the directory in which the command was given; held it must not be.
        Directory.SetCurrentDirectory("/");
        using var supervisor = new Supervisor(options with
        {
            // Only the keeper speaks to systemd; the watchdog's beat is the worker's, and passed on.
            WorkerEnvironment = [.. KeeperCommand.NamesOf(KeeperCommand.SmallMemory), "NOTIFY_SOCKET", "WATCHDOG_PID"],
            IoFlusher = true,
            IsDevice = true,
        });
        using var signals = new KeeperSignals(supervisor.Signal);
        return supervisor.Run();
    }

    private static string[] WorkerArgv(string[] words) =>
        [.. OwnProgram.Argv, "attach", $"{AttachCommand.KeptOption}={Directory.GetCurrentDirectory()}", .. words];

    private static Action<LogLevel, string> LogFrom(LogLevel lowest) => (level, text) =>
    {
        if (level >= lowest)
        {
            KeeperCommand.Log(level, text);
        }
    };

    private static void Tell(FileDescriptor status, string text)
    {
        if (status.IsClosed)
        {
            return;
        }

        bool isHeard = PipeText.Write(status, text);
        status.Dispose();
        if (!isHeard)
        {
            throw new IOException("the process that asked for the device is gone: it is detached again");
        }
    }
}
