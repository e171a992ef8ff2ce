using System.Globalization;
using Microsoft.Extensions.Logging;
using NbdFuse.Client;
using NbdFuse.Fuse;
using NbdFuse.Native;
using NbdFuse.Protocol;

namespace NbdFuse.Cli;

/// <summary>What a process that serves a file does differently because there is a keeper.</summary>
internal static partial class KeptMount
{
    private const int SignalKill = 9;
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(5);

    /// <summary>Bounds requests: see <see cref="WorkerCommand.LargestRequest"/>.</summary>
    /// <param name="options">What the user asked for.</param>
    public static FuseMountOptions Limit(FuseMountOptions options) => options with
    {
        LargestRequest = WorkerCommand.LargestRequest,
        MaximumWrite = Math.Min(options.MaximumWrite, WorkerCommand.LargestRequest),
    };

    /// <summary>Connects, for as long as it takes: everybody who uses the file waits for it.</summary>
    /// <param name="target">Where the server is.</param>
    /// <param name="options">How to open.</param>
    /// <param name="logger">Log.</param>
    /// <param name="cancellation">Ends the attempts.</param>
    /// <exception cref="KeptExportException">What the dead process has left cannot be trusted.</exception>
    public static async Task<NbdExport> OpenAgainAsync(
        NbdTarget target, NbdExportOptions options, ILogger logger, CancellationToken cancellation)
    {
        bool hasSaid = false;
        for (TimeSpan pause = FirstPause; ; pause = pause * 2 < LongestPause ? pause * 2 : LongestPause)
        {
            try
            {
                return await NbdExport.OpenAsync(target, options, logger, cancellation).ConfigureAwait(false);
            }
            catch (NbdWriteLogException e)
            {
                throw new KeptExportException($"{e.Message}; what was written since the last fsync or close may be lost; mount again");
            }
            catch (NbdException e) when (!cancellation.IsCancellationRequested)
            {
                if (!hasSaid)
                {
                    hasSaid = true;
                    LogWaiting(logger, ErrorText.OneLine(e.Message));
                }
            }

            await Task.Delay(pause, cancellation).ConfigureAwait(false);
        }
    }

    /// <summary>Notes which export is mounted; for a successor, sees to it that it is the same.</summary>
    /// <param name="link">The keeper, or null.</param>
    /// <param name="export">The export.</param>
    /// <exception cref="KeptExportException">It is another one.</exception>
    public static void Check(KeeperLink? link, NbdExport export)
    {
        if (link is null)
        {
            return;
        }

        SavedExport now = Describe(export);
        export.Grown += () => link.State.SaveExport(Describe(export));
        if (link.State.LoadExport() is not { } before)
        {
            link.State.SaveExport(now);
            return;
        }

        // One that has grown is the same.
        if (now.Size < before.Size || now with { Size = before.Size } != before)
        {
            throw new KeptExportException(string.Create(
                CultureInfo.InvariantCulture,
                $"the server has another export than the one that is mounted: {now.Size} bytes, flags 0x{now.Flags:x}, blocks {now.MinimumBlock}/{now.PreferredBlock}/{now.MaximumBlock}, before {before.Size} bytes, flags 0x{before.Flags:x}, blocks {before.MinimumBlock}/{before.PreferredBlock}/{before.MaximumBlock}; nothing was written to it; check the server, and mount again"));
        }

        link.State.SaveExport(now);
    }

    private static SavedExport Describe(NbdExport export)
    {
        NbdExportInfo info = export.Negotiated.Export;
        NbdBlockSizes blocks = info.BlockSizes ?? default;
        return new SavedExport(info.Size, (ulong)info.Flags, blocks.Minimum, blocks.Preferred, blocks.Maximum);
    }

    /// <summary>Begins to take requests.</summary>
    /// <param name="link">The keeper.</param>
    /// <param name="mounted">The mount; it has been started.</param>
    /// <param name="target">Where it is.</param>
    /// <param name="logger">Log.</param>
    public static async Task BeginAsync(KeeperLink link, MountedExport mounted, MountTarget target, ILogger logger)
    {
        _ = WatchAsync(link, target, logger);
        if (link.IsResuming)
        {
            await link.WaitForGoAsync(target.FilePath).ConfigureAwait(false);
            await mounted.TakeOverAsync().ConfigureAwait(false);

            // It may have grown while no process lived.
            mounted.TellSize();
        }
        else
        {
            await RequireSuccessorAsync(link, mounted, target, logger).ConfigureAwait(false);
        }

        link.Serving();
        if (mounted.Device is { } device)
        {
            _ = UpgradeSocket.ListenAsync(device, link, logger);
        }
    }

    /// <summary>Whether another process follows this one.</summary>
    /// <param name="link">The keeper.</param>
    public static bool HasSuccessor(KeeperLink link) => !link.Lost.IsCompleted;

    /// <summary>After a fault of this program: another process finds everything as it was before.</summary>
    /// <param name="link">The keeper.</param>
    /// <param name="fault">What has happened.</param>
    /// <param name="target">Where the mount is.</param>
    public static void Die(KeeperLink link, Exception fault, MountTarget target)
    {
        // Not by the log, which is written later.
        Console.Error.Write(ErrorText.ForStandardError(
            $"{ErrorText.Program}: {target.FilePath}: internal error: {ErrorText.OneLine(fault.ToString())}\n", ErrorText.FatalLevel));
        link.Crash();

        // Not SIGABRT: the runtime has a handler for it, which was seen to wait for ever.
        Posix.Kill(Environment.ProcessId, SignalKill);
    }

    /// <summary>Answers what was taken, makes it durable, and leaves the mount to a successor.</summary>
    /// <param name="mounted">The mount.</param>
    /// <param name="target">Where it is.</param>
    /// <param name="logger">Log.</param>
    /// <returns>False when the mount has ended meanwhile.</returns>
    public static async Task<bool> HandOverAsync(MountedExport mounted, MountTarget target, ILogger logger)
    {
        LogHandOver(logger, target.FilePath);
        await mounted.DrainAsync().ConfigureAwait(false);
        if (!mounted.Ended.IsCompletedSuccessfully || (await mounted.Ended.ConfigureAwait(false)).Reason != FuseEndReason.Drained)
        {
            return false;
        }

        // A failure is the successor's to find: it flushes before anything else.
        int result = await mounted.FlushAsync().ConfigureAwait(false);
        if (result != 0)
        {
            LogNotFlushed(logger, target.FilePath, Errno.Describe(result));
        }

        return true;
    }

    private static async Task RequireSuccessorAsync(KeeperLink link, MountedExport mounted, MountTarget target, ILogger logger)
    {
        await Task.WhenAny(mounted.Negotiated, mounted.Ended, mounted.LoopFailed).ConfigureAwait(false);
        if (link.State.LoadNegotiation() is { CanResend: false, CanProbe: false })
        {
            await mounted.UnmountAsync(logger).ConfigureAwait(false);
            throw new NbdException(
                $"{target.FilePath}: this kernel cannot tell which requests a dead process had taken (Linux 4.20 can): they would hang; mount without --keeper");
        }
    }

    private static async Task WatchAsync(KeeperLink link, MountTarget target, ILogger logger)
    {
        await link.Lost.ConfigureAwait(false);
        LogUnprotected(logger, target.FilePath);
        try
        {
            link.TakePidFile();
        }
        catch (IOException e)
        {
            CommandLog.Argument(logger, e.Message);
        }
    }

    [LoggerMessage(5101, LogLevel.Warning, "{Path}: the keeper has died: this process goes on, but nobody follows it")]
    private static partial void LogUnprotected(ILogger logger, string path);

    [LoggerMessage(5102, LogLevel.Warning, "the server is not there yet, and is waited for: {Reason}")]
    private static partial void LogWaiting(ILogger logger, string reason);

    [LoggerMessage(5103, LogLevel.Information, "{Path}: making room for another process")]
    private static partial void LogHandOver(ILogger logger, string path);

    [LoggerMessage(5104, LogLevel.Warning, "{Path}: the flush before the end failed: {Reason}; the next process flushes again")]
    private static partial void LogNotFlushed(ILogger logger, string path, string reason);
}
