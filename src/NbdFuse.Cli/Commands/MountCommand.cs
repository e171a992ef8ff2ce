using System.Runtime.ExceptionServices;
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
    /// <param name="link">The keeper that follows this process with another one when it dies; null without.</param>
    /// <returns>0 when it was unmounted by somebody and nothing can be lost; 1 when a signal ended it.</returns>
    public static async Task<int> RunAsync(NbdfuseArguments arguments, ILoggerFactory loggers, TextWriter error, KeeperLink? link = null)
    {
        ILogger logger = loggers.CreateLogger(ErrorText.Program);
        bool resumes = link is { IsResuming: true };
        foreach (string warning in resumes ? [] : arguments.Warnings)
        {
            CommandLog.Argument(logger, warning);
        }

        // What costs nothing to find out comes before the network.
        FuseMountOptions options = Options(arguments, link);
        MountTarget target = resumes ? link!.Target : MountTarget.Resolve(arguments.MountPoint, logger);
        PidFile.Check(arguments.PidFile);
        var traces = ExportTraces.Load(arguments.PrefetchFile, arguments.RecordFile);

        FuseMount? mount = null;
        NbdExport? export = null;
        using var signals = new TerminationSignals(() => EndNow(mount, export));
        link?.Start();
        if (!resumes)
        {
            Host(arguments, link).Notify(ServiceStatus.Connecting(arguments.Target!), logger);
        }

        Privileges.HideKeys(arguments.Tls);
        export = await OpenAsync(arguments, options, loggers, signals, link).ConfigureAwait(false);
        MountedExport mounted;
        try
        {
            KeptMount.Check(link, export);
            options = export.Info.IsReadOnly ? options with { Flags = options.Flags | MountFlags.ReadOnly } : options;
            mount = resumes ? link!.AdoptMount() : FuseMounter.Mount(target, options);
            mounted = new MountedExport(export, mount, arguments, options, loggers, keeper: link, isHeld: resumes, traces: traces);
        }
        catch
        {
            await export.DisposeAsync().ConfigureAwait(false);
            throw;
        }

        await using (mounted.ConfigureAwait(false))
        {
            if (!resumes)
            {
                link?.Mounted(mount);
            }

            mounted.Start();
            Announce(logger, export, target, arguments);
            MountStatus? status = null;
            try
            {
                if (link is not null)
                {
                    await KeptMount.BeginAsync(link, mounted, target, logger).ConfigureAwait(false);
                }

                status = MountStatus.Publish(mounted, export, target, arguments, logger);
                Privileges.Drop(mount, arguments, logger);
                return await ServeAsync(mounted, target, arguments, signals, logger, error, link).ConfigureAwait(false);
            }
            finally
            {
                // All that can be saved is saved: who sends a signal now wants the end, not another one like it.
                signals.ExpectEnd();
                if (status is not null)
                {
                    await status.DisposeAsync().ConfigureAwait(false);
                }
            }
        }
    }

    private static IMountHost Host(NbdfuseArguments arguments, KeeperLink? link) => link is null ? new OwnHost(arguments.PidFile) : link;

    private static FuseMountOptions Options(NbdfuseArguments arguments, KeeperLink? link)
    {
        FuseMountOptions options = FuseMountOptionParser.Parse(arguments.MountOptions);
        if (link is not null)
        {
            options = KeptMount.Limit(options);
        }

        return arguments.ReadOnly ? options with { Flags = options.Flags | MountFlags.ReadOnly } : options;
    }

    private static async Task<NbdExport> OpenAsync(
        NbdfuseArguments arguments, FuseMountOptions options, ILoggerFactory loggers, TerminationSignals signals, KeeperLink? link)
    {
        var exportOptions = new NbdExportOptions
        {
            ExportName = arguments.ExportName,
            ReadOnly = options.IsReadOnly,
            Connections = arguments.Target!.CanMultiConn ? arguments.Connections : 1,
            Movers = arguments.Movers ?? -1,
            Transport = new NbdTransportOptions { Tls = arguments.Tls, Connected = link is null ? null : link.Connected },
            ReconnectTimeout = arguments.ReconnectTimeout,
            OnTimeout = arguments.OnTimeout,
            WriteLogBytes = arguments.WriteLogBytes,
            Shared = arguments.Shared,
            KeptLog = link?.WriteLog,
            ExtendedHeaders = arguments.ExtendedHeaders,
            Also = arguments.Also,
            SharedStorage = arguments.SharedStorage,
        };
        ILogger logger = loggers.CreateLogger("nbd");
        return link is { IsResuming: true }
            ? await KeptMount.OpenAgainAsync(arguments.Target, exportOptions, logger, signals.Token).ConfigureAwait(false)
            : await NbdExport.OpenAsync(arguments.Target, exportOptions, logger, signals.Token).ConfigureAwait(false);
    }

    private static void Announce(ILogger logger, NbdExport export, MountTarget target, NbdfuseArguments arguments)
    {
        BlockDeviceInfo info = export.Info;
        if (info.ExportSize != info.Size)
        {
            CommandLog.TailUnreachable(logger, info.ExportSize, info.Size, info.MinimumBlock);
        }

        if (!arguments.Target!.CanReconnect)
        {
            CommandLog.CannotReconnect(logger, arguments.Target.ToString(), arguments.Target.WhyNoReconnect);
        }
        else if (arguments.Shared)
        {
            CommandLog.Shared(logger);
        }
        else if (arguments.WriteLogBytes > 0 && export.WriteLogCapacity == 0 && !info.IsReadOnly && arguments.ReconnectTimeout != TimeSpan.Zero)
        {
            CommandLog.NoWriteLog(logger);
        }

        CommandLog.Mounted(
            logger,
            target.FilePath,
            info.Size,
            export.Server,
            export.Connections,
            info.IsReadOnly ? "read-only" : "read-write");
    }

    /// <summary>Serves a mount that has been started, to its end.</summary>
    /// <param name="mounted">The mount; it remains the caller's.</param>
    /// <param name="target">Where it is.</param>
    /// <param name="arguments">What the user asked for.</param>
    /// <param name="signals">What may end it.</param>
    /// <param name="logger">The log.</param>
    /// <param name="error">Standard error.</param>
    /// <param name="link">The keeper that follows this process with another one when it dies; null without.</param>
    /// <returns>The exit code.</returns>
    internal static async Task<int> ServeAsync(
        MountedExport mounted,
        MountTarget target,
        NbdfuseArguments arguments,
        TerminationSignals signals,
        ILogger logger,
        TextWriter error,
        KeeperLink? link = null)
    {
        IMountHost host = Host(arguments, link);
        if (link is not { WasUsable: true } && await BecomesUsableAsync(mounted, signals).ConfigureAwait(false))
        {
            try
            {
                host.Usable(target.FilePath, logger);
            }
            catch (IOException)
            {
                await mounted.UnmountAsync(logger).ConfigureAwait(false);
                throw;
            }
        }

        mounted.StateChanged += change =>
        {
            if (ServiceStatus.Of(change, target.FilePath) is { } status)
            {
                host.Notify(status, logger);
            }
        };
        var watchdog = SystemdWatchdog.Start(mounted.Loop.Post, state => host.Notify(state, logger));
        await using var ending = watchdog.ConfigureAwait(false);
        Task handOver = link?.HandOver ?? signals.First;
        if (await Task.WhenAny(mounted.Ended, signals.First, mounted.LoopFailed, handOver, mounted.Failure).ConfigureAwait(false) == mounted.Failure)
        {
            // The mount stays: a program that has the file open must get errors, not the bytes of what lies under the mount.
            NbdException reason = await mounted.Failure.ConfigureAwait(false);
            CommandLog.ServerLost(logger, target.FilePath, ErrorText.OneLine(reason.Message), target.Path);
            await Task.WhenAny(mounted.Ended, signals.First, mounted.LoopFailed).ConfigureAwait(false);
        }

        if (link is not null && KeptMount.HasSuccessor(link))
        {
            if (mounted.LoopFailed.IsCompletedSuccessfully && !mounted.Ended.IsCompleted)
            {
                KeptMount.Die(link, await mounted.LoopFailed.ConfigureAwait(false), target);
            }

            if (handOver.IsCompleted && !mounted.Ended.IsCompleted && await KeptMount.HandOverAsync(mounted, target, logger).ConfigureAwait(false))
            {
                return KeeperLink.HandOverCode;
            }
        }

        if (mounted.LoopFailed.IsCompleted && !mounted.Ended.IsCompleted)
        {
            host.Notify("STOPPING=1", logger);
            return await EndByFaultAsync(mounted, target, logger).ConfigureAwait(false);
        }

        int? signal = mounted.Ended.IsCompleted ? null : await signals.First.ConfigureAwait(false);
        host.Notify("STOPPING=1", logger);
        return signal is { } number
            ? await EndBySignalAsync(mounted, target, number, logger, error).ConfigureAwait(false)
            : await EndByUnmountAsync(mounted, target, logger).ConfigureAwait(false);
    }

    private static async Task<bool> BecomesUsableAsync(MountedExport mounted, TerminationSignals signals)
    {
        try
        {
            return await mounted.WaitUntilUsableAsync(signals.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (signals.Token.IsCancellationRequested)
        {
            return false;
        }
    }

    // A fault of this program. Nothing can be flushed any more; what can be done is that nobody waits for ever.
    private static async Task<int> EndByFaultAsync(MountedExport mounted, MountTarget target, ILogger logger)
    {
        Exception fault = await mounted.LoopFailed.ConfigureAwait(false);
        CommandLog.LoopFailed(logger, target.FilePath, ErrorText.OneLine(fault.ToString()));
        await mounted.CutOffAsync(logger).ConfigureAwait(false);
        throw new NbdException(
            $"{target.FilePath}: internal error: {fault.GetType().Name}: {fault.Message}; it is unmounted, and what was written since the last fsync or close may be lost; mount again, and report this");
    }

    private static async Task<int> EndByUnmountAsync(MountedExport mounted, MountTarget target, ILogger logger)
    {
        FuseSessionEnd end = await mounted.Ended.ConfigureAwait(false);
        CommandLog.Ended(logger, target.FilePath, end.Message);
        if (end.Reason is not FuseEndReason.Unmounted)
        {
            int flush = await TryFlushAsync(mounted).ConfigureAwait(false);
            await mounted.DetachAsync(logger).ConfigureAwait(false);
            string saved = flush == 0
                ? "what was written before is flushed"
                : $"the last flush failed ({Errno.Describe(flush)}), what was written since the last fsync or close may be lost";
            throw new FuseException(
                $"{target.FilePath}: {end.Message}: its users got errors; {saved}; close what still uses it, and mount again", end.Errno);
        }

        await FlushAsync(mounted, target).ConfigureAwait(false);
        return 0;
    }

    private static async Task<int> EndBySignalAsync(
        MountedExport mounted, MountTarget target, int signal, ILogger logger, TextWriter error)
    {
        string name = TerminationSignals.NameOf(signal);
        CommandLog.Signal(logger, name);
        FuseException? unmountFailure = null;
        try
        {
            await mounted.UnmountAsync(logger).ConfigureAwait(false);
        }
        catch (FuseException e)
        {
            // Later: what was written must reach the disk whether or not the mount goes away.
            unmountFailure = e;
        }

        try
        {
            await Task.WhenAny(mounted.Ended, mounted.LoopFailed).WaitAsync(DrainTimeout).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            throw new NbdException(
                $"{target.FilePath}: terminated by signal {signal} ({name}), but the server did not answer within {DrainTimeout.TotalSeconds} s: what was written last may be lost{mounted.Loss}");
        }

        if (!mounted.Ended.IsCompleted)
        {
            return await EndByFaultAsync(mounted, target, logger).ConfigureAwait(false);
        }

        await FlushAsync(mounted, target).ConfigureAwait(false);
        if (unmountFailure is not null)
        {
            ExceptionDispatchInfo.Throw(unmountFailure);
        }

        string line = $"{ErrorText.Program}: {target.FilePath}: terminated by signal {signal} ({name})\n";
        await error.WriteAsync(ErrorText.ForStandardError(line, ErrorText.NoticeLevel)).ConfigureAwait(false);
        return Failed;
    }

    private static async Task FlushAsync(MountedExport mounted, MountTarget target)
    {
        int result = await TryFlushAsync(mounted).ConfigureAwait(false);
        if (result != 0)
        {
            throw new NbdException(
                $"{target.FilePath}: the last flush failed: {Errno.Describe(result)}; what was written since the last fsync or close may be lost{mounted.Loss}");
        }
    }

    // Linux errno. Success also when there was nothing to flush: then a lost server has lost nothing.
    private static async Task<int> TryFlushAsync(MountedExport mounted)
    {
        if (mounted.IsStalled && !mounted.HasUnflushedWrites)
        {
            return 0;
        }

        int result;
        try
        {
            result = mounted.Failure.IsCompleted ? Errno.EIO : await mounted.FlushAsync().WaitAsync(DrainTimeout).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            result = Errno.ETIMEDOUT;
        }

        return mounted.HasUnflushedWrites ? result : 0;
    }

    // The user has asked twice. Closing the device comes first: it fails all that is still asked of the file, also by a
    // thread of ours that unmounts, which could not be killed while it waits.
    private static void EndNow(FuseMount? mount, NbdExport? export)
    {
        try
        {
            if (mount is not null)
            {
                mount.Device.Dispose();
                Posix.Umount2(mount.Path, Posix.UnmountNoFollow | Posix.UnmountDetach);
            }

            export?.Abandon();
        }
        finally
        {
            Posix.Kill(Environment.ProcessId, 9);
        }
    }
}
