using System.Text;
using Microsoft.Extensions.Logging;
using NbdFuse.Attach;
using NbdFuse.Fuse;
using NbdFuse.Native;
using NbdFuse.Protocol;

namespace NbdFuse.Cli;

/// <summary>attach: starts the daemon in a session of its own, and returns when the device is usable.</summary>
internal static class AttachCommand
{
    /// <summary>Option by which the daemon learns of its directory; not for users.</summary>
    public const string EntryOption = "--entry";

    private const int StatusDescriptor = 3;
    private const int MaximumAnswer = 16 * 1024;
    private const string Usable = "usable ";
    private const int SignalTerminate = 15;
    private const int SignalKill = 9;

    // rw for the owner.
    private const int Private = 0x180;

    // How long a daemon that has said why it fails may take to end.
    private static readonly TimeSpan EndTimeout = TimeSpan.FromSeconds(60);

    /// <summary>Runs.</summary>
    /// <param name="arguments">What the user asked for.</param>
    /// <param name="loggers">The log.</param>
    /// <param name="output">Standard output: receives the path of the device, and nothing else.</param>
    /// <param name="error">Standard error.</param>
    /// <returns>The exit code.</returns>
    public static async Task<int> RunAsync(AttachArguments arguments, ILoggerFactory loggers, TextWriter output, TextWriter error)
    {
        Check(arguments);
        if (arguments.Entry is { } directory)
        {
            return await RunInBackgroundAsync(arguments, new AttachEntry(directory), loggers).ConfigureAwait(false);
        }

        foreach (string warning in arguments.Uri.Warnings)
        {
            AttachLog.Warning(loggers.CreateLogger(ErrorText.Program), warning);
        }

        DeviceDrivers.Devices.Prune();
        AttachEntry entry = RuntimeDirectory.CreateEntry();
        if (!arguments.Foreground)
        {
            return await StartAsync(arguments, entry, output, error).ConfigureAwait(false);
        }

        using var daemon = new AttachDaemon(arguments, entry, loggers);
        return await daemon.RunAsync(device =>
        {
            output.Write(device + "\n");
            output.Flush();
            return true;
        }).ConfigureAwait(false);
    }

    // What costs nothing to find out comes before processes and the network.
    private static void Check(AttachArguments arguments)
    {
        if (arguments.Uri.Tls)
        {
            throw new NbdException(
                "TLS (nbds://) is not supported yet, and a connection without it is refused; use nbd:// over a network you trust, or a tunnel");
        }

        FuseMountOptionParser.Parse(arguments.MountOptions);
        if (arguments.Device is { } device && !Candidates(arguments.Driver).Any(driver => driver.Kind.IsPath(device)))
        {
            throw new UsageException($"attach: \"{device}\" is no device of the driver {arguments.Driver}; --device is such as /dev/loop7", showUsage: false);
        }

        if (Posix.GetEuid() != 0)
        {
            throw new AttachException("attach needs root to make a block device; 'nbdfuse MOUNTPOINT URI' gives a file without root");
        }
    }

    private static IEnumerable<DriverEntry> Candidates(string name) =>
        DeviceDrivers.All.Where(driver => name == DeviceDrivers.Automatic ? driver.IsAutomatic : driver.Name == name);

    private static async Task<int> RunInBackgroundAsync(AttachArguments arguments, AttachEntry entry, ILoggerFactory loggers)
    {
        using FileDescriptor status = FileDescriptor.Own(StatusDescriptor);
        Posix.SetCloseOnExec(status.Value, true);
        try
        {
            using var daemon = new AttachDaemon(arguments, entry, loggers);
            return await daemon.RunAsync(device =>
            {
                bool heard = PipeText.Write(status, Usable + device);
                status.Dispose();
                return heard;
            }).ConfigureAwait(false);
        }
        catch (Exception e) when (!status.IsClosed)
        {
            // The user is still there to hear it.
            PipeText.Write(status, ErrorText.Describe(e, debug: false));
            return MountCommand.Failed;
        }
    }

    private static async Task<int> StartAsync(AttachArguments arguments, AttachEntry entry, TextWriter output, TextWriter error)
    {
        FileDescriptor? reader = null;
        ChildProcess? child = null;
        try
        {
            child = Spawn(arguments, entry, out reader);
        }
        catch
        {
            entry.Remove();
            throw;
        }

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
                await error.WriteAsync(ReadLog(entry)).ConfigureAwait(false);
                await output.WriteAsync(answer[Usable.Length..] + "\n").ConfigureAwait(false);
                await output.FlushAsync().ConfigureAwait(false);
                return 0;
            }

            // Its log first: the directory goes with it.
            string log = ReadLog(entry);
            bool ended = child.WaitForExit(EndTimeout);
            if (answer.Length == 0)
            {
                answer = $"{ErrorText.Program}: the daemon ended with exit code {child.ExitCode} before the device was usable\n";
                DeviceDrivers.Devices.CleanUp(entry, entry.Read(), force: true);
            }

            await error.WriteAsync(log + answer + (ended ? string.Empty : $"{ErrorText.Program}: process {child.Pid} has not ended yet\n"))
                .ConfigureAwait(false);
            return MountCommand.Failed;
        }
    }

    private static ChildProcess Spawn(AttachArguments arguments, AttachEntry entry, out FileDescriptor reader)
    {
        PosixException.Check(Posix.Pipe2(out int readEnd, out int writeEnd), "make a pipe");
        reader = FileDescriptor.Own(readEnd);
        using FileDescriptor writer = FileDescriptor.Own(writeEnd);
        using FileDescriptor nothing = FileDescriptor.OwnOrThrow(Posix.Open("/dev/null", OpenFlags.ReadWrite), "/dev/null");

        // Not our standard error: whoever waits for its end would wait for the daemon's.
        using FileDescriptor log = FileDescriptor.OwnOrThrow(
            Posix.Open(entry.LogPath, OpenFlags.WriteOnly | OpenFlags.Create | OpenFlags.Append, Private), entry.LogPath);
        return ChildProcess.Spawn(new SpawnOptions
        {
            Argv = [.. OwnProgram.Argv, "attach", EntryOption, entry.Directory, .. arguments.Words],
            Descriptors = [(nothing.Value, 0), (nothing.Value, 1), (log.Value, 2), (writer.Value, StatusDescriptor)],
            NewSession = true,
        });
    }

    private static string ReadLog(AttachEntry entry)
    {
        try
        {
            return File.ReadAllText(entry.LogPath, Encoding.UTF8);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // It has gone with its daemon.
            return string.Empty;
        }
    }
}
