using System.Text;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using NbdFuse.Client;
using NbdFuse.Native;

namespace NbdFuse.Cli;

/// <summary><c>--keeper</c>: the process that the user has started becomes the keeper, and starts the one that serves the file.</summary>
internal static class KeeperCommand
{
    /// <summary>The hidden verb of the keeper's process.</summary>
    public const string Verb = "__keeper";

    private const int StandardError = 2;

    /// <summary>
    /// Settings of the runtime for a process that does next to nothing and must be small. Not for the worker.
    /// </summary>
    private static readonly string[] Environment =
    [
        "DOTNET_TieredCompilation=0",
        "DOTNET_EnableDiagnostics=0",
        .. SmallMemory,
        "DOTNET_Thread_DefaultStackSize=80000",
    ];

    /// <summary>The settings among them that make a process small, and slow when it has much to do.</summary>
    public static string[] SmallMemory =>
        ["DOTNET_GCHeapHardLimit=0x2000000", "DOTNET_GCgen0size=0x80000", "DOTNET_GCConserveMemory=9"];

    /// <summary>The variables of settings.</summary>
    /// <param name="settings">Settings, as NAME=VALUE.</param>
    public static IEnumerable<string> NamesOf(IEnumerable<string> settings) => settings.Select(setting => setting[..setting.IndexOf('=')]);

    /// <summary>Replaces this process by the keeper: the process id stays.</summary>
    /// <param name="words">The command line.</param>
    /// <param name="arguments">What it means.</param>
    /// <exception cref="UsageException">The worker could not be followed by another one.</exception>
    public static void Become(IReadOnlyList<string> words, NbdfuseArguments arguments)
    {
        if (arguments.Target is not (TcpTarget or UnixTarget or VsockTarget))
        {
            throw new UsageException(
                "--keeper needs a server that can be connected to again: a URI, --tcp, --unix or --vsock", showUsage: false);
        }

        PidFile.Check(arguments.PidFile);
        ChildProcess.Replace(new SpawnOptions { Argv = [.. OwnProgram.Argv, Verb, .. words], Environment = Environment });
    }

    /// <summary>Runs the keeper.</summary>
    /// <param name="words">The command line, without the verb.</param>
    /// <returns>Exit code.</returns>
    public static int Run(string[] words)
    {
        NbdfuseArguments arguments = NbdfuseArgumentParser.Parse(words);
        LogLevel lowest = arguments.Verbose ? LogLevel.Debug : arguments.Quiet ? LogLevel.Error : LogLevel.Warning;
        using var supervisor = new Supervisor(new SupervisorOptions
        {
            WorkerArgv = [.. OwnProgram.Argv, WorkerCommand.Verb, .. words],
            WorkerEnvironment = [.. NamesOf(Environment), "NOTIFY_SOCKET", "WATCHDOG_PID"],
            Log = (level, text) =>
            {
                if (level >= lowest)
                {
                    Log(level, text);
                }
            },
            Usable = path =>
            {
                PidFile.Write(arguments.PidFile);
                SystemdNotifier.Notify(ServiceStatus.Usable(path), NullLogger.Instance);
            },
            Notify = state => SystemdNotifier.Notify(state, NullLogger.Instance),
        });
        using var signals = new KeeperSignals(supervisor.Signal);
        return supervisor.Run();
    }

    /// <summary>Writes a line to standard error. Drops what does not fit into a pipe that nobody reads.</summary>
    /// <param name="level">Its level.</param>
    /// <param name="text">What it says.</param>
    public static void Log(LogLevel level, string text)
    {
        string word = level switch
        {
            LogLevel.Debug => "debug: ",
            LogLevel.Warning => "warning: ",
            LogLevel.Error => "error: ",
            _ => string.Empty,
        };
        string line = ErrorText.ForStandardError($"{ErrorText.Program}: {word}{ErrorText.OneLine(text)}\n", level == LogLevel.Error ? 3 : 4);
        if (Posix.Poll(StandardError, PollEvents.Out, 0) > 0)
        {
            _ = Posix.Write(StandardError, Encoding.UTF8.GetBytes(line));
        }
    }
}
