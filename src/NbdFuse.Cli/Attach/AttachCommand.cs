using System.Text;
using Microsoft.Extensions.Logging;
using NbdFuse.Attach;
using NbdFuse.Attach.KernelNbd;
using NbdFuse.Client;
using NbdFuse.Fuse;
using NbdFuse.Native;
using NbdFuse.Protocol;

namespace NbdFuse.Cli;

/// <summary>attach: starts the daemon in a session of its own, and returns when the device is usable.</summary>
internal static class AttachCommand
{
    /// <summary>Option by which the daemon learns of its directory; not for users.</summary>
    public const string EntryOption = "--entry";

    /// <summary>Option by which a process in the foreground knows that it has started itself anew; not for users.</summary>
    public const string PreparedOption = "--prepared";

    /// <summary>Option by which a process knows that a keeper has started it, and where that was started; not for users.</summary>
    public const string KeptOption = "--kept";

    /// <summary>How an answer begins that says which device can be used.</summary>
    public const string Usable = "usable ";

    private const int StatusDescriptor = 3;
    private const int MaximumAnswer = 16 * 1024;
    private const int SignalTerminate = 15;
    private const int SignalKill = 9;

    // rw for the owner.
    private const int Private = 0x180;

    // How long a daemon that has said why it fails may take to end.
    private static readonly TimeSpan EndTimeout = TimeSpan.FromSeconds(60);

    /// <summary>Runs.</summary>
    /// <param name="arguments">What the user asked for.</param>
    /// <param name="log">How much is logged.</param>
    /// <param name="output">Standard output: receives the path of the device, and nothing else.</param>
    /// <param name="error">Standard error.</param>
    /// <returns>The exit code.</returns>
    public static async Task<int> RunAsync(AttachArguments arguments, CommandLogOptions log, TextWriter output, TextWriter error)
    {
        Check(arguments);
        if (arguments.Entry is { } directory)
        {
            return arguments.KeptDirectory is not null
                ? await KeptDevice.RunAsync(arguments, new AttachEntry(directory), log).ConfigureAwait(false)
                : await RunInBackgroundAsync(arguments, new AttachEntry(directory), log).ConfigureAwait(false);
        }

        bool isKept = WantsKeeper(arguments);
        if (arguments is { Foreground: true, IsPrepared: false } && !isKept)
        {
            // The mark against recursion into our own I/O is per thread and inherited, and the runtime has threads by now; its
            // settings are read at its start.
            ChildProcess.Replace(new SpawnOptions
            {
                Argv = [.. OwnProgram.Argv, "attach", PreparedOption, .. arguments.Words],
                Environment = ProcessProtection.Environment,
                IoFlusher = true,
            });
        }

        foreach (string warning in arguments.Uri.Warnings)
        {
            await error.WriteAsync($"{ErrorText.Program}: warning: {ErrorText.OneLine(warning)}\n").ConfigureAwait(false);
        }

        DeviceDrivers.Devices.Prune();
        AttachEntry entry = RuntimeDirectory.CreateEntry();
        if (arguments.Foreground && isKept)
        {
            AttachKeeperCommand.Become(entry, arguments.Words);
        }

        return arguments.Foreground
            ? await RunInForegroundAsync(arguments, entry, log, output).ConfigureAwait(false)
            : await StartAsync(arguments, entry, isKept, log, output, error).ConfigureAwait(false);
    }

    /// <summary>Enters the directory that relative paths of a kept process belong to; one that has gone since is left alone.</summary>
    /// <param name="directory">The directory; null or empty for none.</param>
    public static void EnterDirectory(string? directory)
    {
        if (!string.IsNullOrEmpty(directory) && Directory.Exists(directory))
        {
            Directory.SetCurrentDirectory(directory);
        }
    }

    /// <summary>The log of a process in the foreground.</summary>
    /// <param name="logging">Where it goes.</param>
    /// <param name="log">How much is logged.</param>
    public static ILoggerFactory ForegroundLoggers(AttachLogging logging, CommandLogOptions log)
    {
        bool isQuiet = log.Verbosity != LogVerbosity.Verbose && !logging.IsJournal;
        return logging.Factory(isQuiet ? LogLevel.Warning : AttachLogging.LevelOf(log.Verbosity));
    }

    // What costs nothing to find out comes before processes and the network.
    private static void Check(AttachArguments arguments)
    {
        if (arguments.Driver == KernelNbdKind.Name && arguments.Tls.Mode != NbdTlsMode.Off)
        {
            throw new NbdException("the kernel's nbd driver speaks no TLS, and the connection would be without: use --driver ublk or fuse");
        }

        FuseMountOptionParser.Parse(arguments.MountOptions);
        if (arguments.Device is { } device && !Candidates(arguments.Driver).Any(driver => driver.Kind.IsPath(device)))
        {
            throw new UsageException($"attach: \"{device}\" is no device of the driver {arguments.Driver}; --device is such as /dev/loop7", showUsage: false);
        }

        if (arguments.Keeper == true && arguments.Driver == KernelNbdKind.Name)
        {
            throw new UsageException($"attach: --keeper is for the drivers {UblkKind.Name} and {LoopKind.Name}", showUsage: false);
        }

        if (Posix.GetEuid() != 0)
        {
            throw new AttachException("attach needs root to make a block device; 'nbdfuse MOUNTPOINT URI' gives a file without root");
        }
    }

    private static IEnumerable<DriverEntry> Candidates(string name) =>
        DeviceDrivers.All.Where(driver => name == DeviceDrivers.Automatic ? driver.IsAutomatic : driver.Name == name);

    /// <summary>Whether a keeper is wanted, and of use: where the kernel has the connections, it goes on by itself.</summary>
    private static bool WantsKeeper(AttachArguments arguments) =>
        arguments is { Keeper: not false, Recover: false, Driver: not KernelNbdKind.Name };

    private static async Task<int> RunInForegroundAsync(
        AttachArguments arguments, AttachEntry entry, CommandLogOptions log, TextWriter output)
    {
        using AttachLogging logging = AttachLogging.ToStandardError(log);
        using ILoggerFactory loggers = ForegroundLoggers(logging, log);
        ILogger logger = loggers.CreateLogger(ErrorText.Program);
        using var daemon = new AttachDaemon(arguments, entry, loggers, log);
        await using var service = new AttachService(state => SystemdNotifier.Notify(state, logger));
        service.Connecting(NbdTarget.FromUri(arguments.Uri));
        int code = await daemon.RunAsync(device =>
        {
            output.Write(device + "\n");
            output.Flush();
            service.Usable(device, daemon.Driver!.Export);
            return true;
        }).ConfigureAwait(false);
        service.Stopping();
        return code;
    }

    private static async Task<int> RunInBackgroundAsync(AttachArguments arguments, AttachEntry entry, CommandLogOptions log)
    {
        using FileDescriptor status = FileDescriptor.Own(StatusDescriptor);
        Posix.SetCloseOnExec(status.Value, true);
        using AttachLogging logging = AttachLogging.ToFile(entry.LogPath, log);
        using ILoggerFactory loggers = logging.Factory(AttachLogging.LevelOf(log.Verbosity));
        try
        {
            using var daemon = new AttachDaemon(arguments, entry, loggers, log);
            return await daemon.RunAsync(device =>
            {
                logging.Flush();
                bool heard = PipeText.Write(status, Usable + device);
                status.Dispose();
                return heard;
            }).ConfigureAwait(false);
        }
        catch (Exception e) when (!status.IsClosed)
        {
            // The user is still there to hear it.
            logging.Flush();
            PipeText.Write(status, ErrorText.Describe(e, log.Debug));
            return MountCommand.Failed;
        }
        catch (Exception e)
        {
            // Nobody is there any more: the log of the last device that ended so is kept.
            AttachLog.Failed(loggers.CreateLogger(ErrorText.Program), e.Message, e);
            logging.Flush();
            return MountCommand.Failed;
        }
    }

    private static async Task<int> StartAsync(
        AttachArguments arguments, AttachEntry entry, bool isKept, CommandLogOptions options, TextWriter output, TextWriter error)
    {
        FileDescriptor? reader = null;
        FileDescriptor? log = null;
        ChildProcess? child = null;
        try
        {
            // Not our standard error: whoever waits for its end would wait for the daemon's. Read from this descriptor, too: a
            // daemon that fails takes its directory away.
            log = FileDescriptor.OwnOrThrow(
                Posix.Open(entry.LogPath, OpenFlags.ReadWrite | OpenFlags.Create | OpenFlags.Append, Private), entry.LogPath);
            child = Spawn(arguments, entry, isKept, log, out reader);
        }
        catch
        {
            log?.Dispose();
            entry.Remove();
            throw;
        }

        using (log)
        using (reader)
        using (child)
        using (var signals = new TerminationSignals(() => child.Kill(SignalKill)))
        {
            using CancellationTokenRegistration registration = signals.Token.Register(() => child.Kill(SignalTerminate));
            string answer = await Task.Factory.StartNew(
                () => PipeText.Read(reader, MaximumAnswer), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default)
                .ConfigureAwait(false);
            if (answer.StartsWith(Usable, StringComparison.Ordinal))
            {
                await error.WriteAsync(ReadLog(log, options)).ConfigureAwait(false);
                await output.WriteAsync(answer[Usable.Length..] + "\n").ConfigureAwait(false);
                await output.FlushAsync().ConfigureAwait(false);
                return 0;
            }

            bool ended = child.WaitForExit(EndTimeout);
            if (answer.Length == 0)
            {
                answer = $"{ErrorText.Program}: the daemon ended with exit code {child.ExitCode} before the device was usable\n";
                answer += CleanUp(entry, arguments.Recover);
            }

            await error.WriteAsync(ReadLog(log, options) + answer + (ended ? string.Empty : $"{ErrorText.Program}: process {child.Pid} has not ended yet\n"))
                .ConfigureAwait(false);
            return MountCommand.Failed;
        }
    }

    /// <summary>What a daemon that was killed has left goes, unless somebody needs it by now.</summary>
    /// <returns>What stays, one line, or nothing.</returns>
    private static string CleanUp(AttachEntry entry, bool recover)
    {
        AttachedDevices devices = DeviceDrivers.Devices;
        AttachState? state = entry.Read();
        string? device = state?.Device is { Length: > 0 } named ? named
            : devices.Kinds.Select(kind => kind.Find(entry)).FirstOrDefault(found => found is not null);
        if (recover && (device is null || !devices.Kinds.Any(kind => kind.Driver == state?.Driver && kind.Find(entry) is not null)))
        {
            // It did not get as far as to take the device over: whoever waits for it goes on to wait, and the old entry is there.
            entry.Remove();
            return string.Empty;
        }

        if (device is not null && (recover || DeviceHolders.Find(device).Any(holder => holder.Kind != DeviceHolderKind.Process)))
        {
            return $"{ErrorText.Program}: {device} has users and stays; 'nbdfuse status' tells how to go on\n";
        }

        devices.CleanUp(entry, state, force: true);
        return string.Empty;
    }

    private static ChildProcess Spawn(
        AttachArguments arguments, AttachEntry entry, bool isKept, FileDescriptor log, out FileDescriptor reader)
    {
        PosixException.Check(Posix.Pipe2(out int readEnd, out int writeEnd), "make a pipe");
        reader = FileDescriptor.Own(readEnd);
        using FileDescriptor writer = FileDescriptor.Own(writeEnd);
        using FileDescriptor nothing = FileDescriptor.OwnOrThrow(Posix.Open("/dev/null", OpenFlags.ReadWrite), "/dev/null");
        return ChildProcess.Spawn(new SpawnOptions
        {
            Argv = [.. OwnProgram.Argv, isKept ? AttachKeeperCommand.Verb : "attach", EntryOption, entry.Directory, .. arguments.Words],
            Environment = isKept ? AttachKeeperCommand.Environment : ProcessProtection.Environment,
            Descriptors = [(nothing.Value, 0), (nothing.Value, 1), (log.Value, 2), (writer.Value, StatusDescriptor)],
            NewSession = true,
            IoFlusher = true,
        });
    }

    private static string ReadLog(FileDescriptor log, CommandLogOptions options)
    {
        byte[] bytes = new byte[AttachLogFile.DefaultMaximum];
        int length = 0;
        int count;
        while (length < bytes.Length && (count = Posix.PRead(log.Value, bytes.AsSpan(length), length)) > 0)
        {
            length += count;
        }

        return AttachLogging.ForTerminal(Encoding.UTF8.GetString(bytes, 0, length), options.Verbosity == LogVerbosity.Verbose);
    }
}
