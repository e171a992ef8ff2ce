using Microsoft.Extensions.Logging;
using NbdFuse.Block;
using NbdFuse.Client;
using NbdFuse.Fuse;
using NbdFuse.Native;
using NbdFuse.Protocol;

namespace NbdFuse.Cli;

/// <summary>The main job: mounts an export as a file and serves it until somebody unmounts it or a signal comes.</summary>
internal static class MountCommand
{
    /// <summary>Exit code after an error, or a signal.</summary>
    public const int Failed = 1;

    // How long what was asked before a signal may take to be answered, and the last FLUSH after it.
    private static readonly TimeSpan DrainTimeout = TimeSpan.FromSeconds(30);

    /// <summary>Runs to the end of the mount.</summary>
    /// <param name="arguments">What the user asked for.</param>
    /// <param name="loggers">The log.</param>
    /// <param name="error">Standard error, for the last words of the process.</param>
    /// <returns>0 when it was unmounted by somebody; 1 when a signal ended it or the server was lost.</returns>
    public static async Task<int> RunAsync(NbdfuseArguments arguments, ILoggerFactory loggers, TextWriter error)
    {
        ILogger logger = loggers.CreateLogger(ErrorText.Program);
        foreach (string warning in arguments.Warnings)
        {
            CommandLog.Argument(logger, warning);
        }

        // What costs nothing to find out comes before the network.
        FuseMountOptions options = Options(arguments);
        MountTarget target = MountTarget.Resolve(arguments.MountPoint, logger);
        PidFile.Check(arguments.PidFile);
        RefuseTls(arguments);

        FuseMount? mount = null;
        using var signals = new TerminationSignals(() => EndNow(mount));
        NbdExport export = await OpenAsync(arguments, options, loggers, signals).ConfigureAwait(false);
        MountedExport mounted;
        try
        {
            options = export.Info.IsReadOnly ? options with { Flags = options.Flags | MountFlags.ReadOnly } : options;
            mount = FuseMounter.Mount(target, options);
            mounted = new MountedExport(export, mount, arguments, options, loggers);
        }
        catch
        {
            await export.DisposeAsync().ConfigureAwait(false);
            throw;
        }

        await using (mounted.ConfigureAwait(false))
        {
            mounted.Start();
            Announce(logger, export, target, arguments);
            return await ServeAsync(mounted, target, arguments, signals, logger, error).ConfigureAwait(false);
        }
    }

    private static FuseMountOptions Options(NbdfuseArguments arguments)
    {
        FuseMountOptions options = FuseMountOptionParser.Parse(arguments.MountOptions);
        return arguments.ReadOnly ? options with { Flags = options.Flags | MountFlags.ReadOnly } : options;
    }

    private static void RefuseTls(NbdfuseArguments arguments)
    {
        if (arguments.RequiresTls)
        {
            throw new NbdException(
                "TLS (nbds://) is not supported yet, and a connection without it is refused; use nbd:// over a network you trust, or a tunnel");
        }
    }

    private static async Task<NbdExport> OpenAsync(
        NbdfuseArguments arguments, FuseMountOptions options, ILoggerFactory loggers, TerminationSignals signals)
    {
        var exportOptions = new NbdExportOptions
        {
            ExportName = arguments.ExportName,
            ReadOnly = options.IsReadOnly,
            Connections = arguments.Target!.CanMultiConn ? arguments.Connections : 1,
            Movers = arguments.Movers ?? -1,
        };
        return await NbdExport.OpenAsync(arguments.Target, exportOptions, loggers.CreateLogger("nbd"), signals.Token).ConfigureAwait(false);
    }

    private static void Announce(ILogger logger, NbdExport export, MountTarget target, NbdfuseArguments arguments)
    {
        BlockDeviceInfo info = export.Info;
        if (info.ExportSize != info.Size)
        {
            CommandLog.TailUnreachable(logger, info.ExportSize, info.Size, info.MinimumBlock);
        }

        CommandLog.Mounted(
            logger,
            target.FilePath,
            info.Size,
            arguments.Target!.ToString(),
            export.Connections,
            info.IsReadOnly ? "read-only" : "read-write");
    }

    private static async Task<int> ServeAsync(
        MountedExport mounted,
        MountTarget target,
        NbdfuseArguments arguments,
        TerminationSignals signals,
        ILogger logger,
        TextWriter error)
    {
        await Task.WhenAny(mounted.Ready, mounted.Ended, signals.First).ConfigureAwait(false);
        if (mounted.Ready.IsCompletedSuccessfully)
        {
            try
            {
                PidFile.Write(arguments.PidFile);
            }
            catch (IOException)
            {
                await mounted.UnmountAsync(logger).ConfigureAwait(false);
                throw;
            }

            SystemdNotifier.Notify($"READY=1\nSTATUS=serving {target.FilePath}", logger);
        }

        if (await Task.WhenAny(mounted.Ended, signals.First, mounted.Failure).ConfigureAwait(false) == mounted.Failure)
        {
            // The mount stays: a program that has the file open must get errors, not the bytes of what lies under the mount.
            NbdException reason = await mounted.Failure.ConfigureAwait(false);
            CommandLog.ServerLost(logger, target.FilePath, ErrorText.OneLine(reason.Message), target.Path);
            SystemdNotifier.Notify("STATUS=the server is lost", logger);
            await Task.WhenAny(mounted.Ended, signals.First).ConfigureAwait(false);
        }

        int? signal = mounted.Ended.IsCompleted ? null : await signals.First.ConfigureAwait(false);
        SystemdNotifier.Notify("STOPPING=1", logger);
        return signal is { } number
            ? await EndBySignalAsync(mounted, target, number, logger, error).ConfigureAwait(false)
            : await EndByUnmountAsync(mounted, target, logger).ConfigureAwait(false);
    }

    private static async Task<int> EndByUnmountAsync(MountedExport mounted, MountTarget target, ILogger logger)
    {
        FuseSessionEnd end = await mounted.Ended.ConfigureAwait(false);
        CommandLog.Ended(logger, target.FilePath, end.Message);
        if (end.Reason is not FuseEndReason.Unmounted)
        {
            throw new FuseException($"{target.FilePath}: {end.Message}", end.Errno);
        }

        await FlushAsync(mounted, target).ConfigureAwait(false);
        return 0;
    }

    private static async Task<int> EndBySignalAsync(
        MountedExport mounted, MountTarget target, int signal, ILogger logger, TextWriter error)
    {
        string name = TerminationSignals.NameOf(signal);
        CommandLog.Signal(logger, name);
        await mounted.UnmountAsync(logger).ConfigureAwait(false);
        try
        {
            await mounted.Ended.WaitAsync(DrainTimeout).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            throw new NbdException(
                $"{target.FilePath}: terminated by signal {signal} ({name}), but the server did not answer within {DrainTimeout.TotalSeconds} s: what was written last may be lost");
        }

        await FlushAsync(mounted, target).ConfigureAwait(false);
        await error.WriteAsync($"{ErrorText.Program}: {target.FilePath}: terminated by signal {signal} ({name})\n").ConfigureAwait(false);
        return Failed;
    }

    private static async Task FlushAsync(MountedExport mounted, MountTarget target)
    {
        int result;
        try
        {
            result = mounted.Failure.IsCompleted ? Errno.EIO : await mounted.FlushAsync().WaitAsync(DrainTimeout).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            result = Errno.ETIMEDOUT;
        }

        if (result != 0)
        {
            throw new NbdException(
                $"{target.FilePath}: the last flush failed: {Errno.Describe(result)}; what was written since the last fsync or close may be lost");
        }
    }

    // The user has asked twice. Closing the device comes first: it fails all that is still asked of the file, also by a
    // thread of ours that unmounts, which could not be killed while it waits.
    private static void EndNow(FuseMount? mount)
    {
        if (mount is not null)
        {
            mount.Device.Dispose();
            Posix.Umount2(mount.Path, Posix.UnmountNoFollow | Posix.UnmountDetach);
        }

        Posix.Kill(Environment.ProcessId, 9);
    }
}
