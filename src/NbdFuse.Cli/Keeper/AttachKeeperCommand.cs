using Microsoft.Extensions.Logging;
using NbdFuse.Native;

namespace NbdFuse.Cli;

/// <summary>The keeper of an attached device: stands between the command that has attached it and the process that serves it.</summary>
internal static class AttachKeeperCommand
{
    /// <summary>The hidden verb of the keeper's process. What follows are the words of attach for the process that serves.</summary>
    public const string Verb = "__attach-keeper";

    // Where the command that waits for the device is told.
    private const int StatusDescriptor = 3;

    /// <summary>Environment of the keeper: that of a process that the machine's memory depends on, and small.</summary>
    public static IReadOnlyList<string> Environment { get; } = [.. ProcessProtection.Environment, .. KeeperCommand.SmallMemory];

    /// <summary>Runs the keeper.</summary>
    /// <param name="words">Words of attach.</param>
    /// <returns>Exit code.</returns>
    public static int Run(string[] words)
    {
        Posix.SetCloseOnExec(StatusDescriptor, true);
        using FileDescriptor status = FileDescriptor.Own(StatusDescriptor);
        ProcessProtection.Apply();
        using var supervisor = new Supervisor(new SupervisorOptions
        {
            WorkerArgv = [.. OwnProgram.Argv, "attach", AttachCommand.KeptOption, .. words],
            WorkerEnvironment = [.. KeeperCommand.NamesOf(KeeperCommand.SmallMemory)],
            IoFlusher = true,
            IsDevice = true,
            Log = (level, text) =>
            {
                if (level >= LogLevel.Information)
                {
                    KeeperCommand.Log(level, text);
                }
            },
            Usable = path => Tell(status, AttachCommand.Usable + path),
            Explain = text => Tell(status, text),
        });
        using var signals = new KeeperSignals(supervisor.Signal);
        return supervisor.Run();
    }

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
