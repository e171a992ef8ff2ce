using Microsoft.Extensions.Logging;
using NbdFuse.Attach;
using NbdFuse.Client;
using NbdFuse.Fuse;

namespace NbdFuse.Cli;

/// <summary>What a driver gets from the daemon that drives it.</summary>
/// <param name="Arguments">What the user asked for.</param>
/// <param name="Entry">The daemon's directory; the daemon removes it.</param>
/// <param name="Loggers">The log.</param>
/// <param name="Publish">
/// Changes the state file at once. A driver calls it as soon as the kernel has a device, before it waits for anything: what a
/// killed daemon has not written down cannot be cleaned up, unless its <see cref="DeviceKind.Find"/> finds it.
/// </param>
internal sealed record DriverContext(
    AttachArguments Arguments, AttachEntry Entry, ILoggerFactory Loggers, Action<Func<AttachState, AttachState>> Publish)
{
    /// <summary>The keeper that has started this process; null without.</summary>
    public KeeperLink? Keeper { get; init; }

    /// <summary>Log of the command.</summary>
    public ILogger Logger { get; } = Loggers.CreateLogger(ErrorText.Program);

    /// <summary>Options of -o; <c>ro</c> among them is <see cref="IsReadOnly"/>.</summary>
    public FuseMountOptions MountOptions { get; } = FuseMountOptionParser.Parse(Arguments.MountOptions) with { AutoUnmount = false };

    /// <summary>The user wants no writes.</summary>
    public bool IsReadOnly => Arguments.ReadOnly || MountOptions.IsReadOnly;

    /// <summary>What is read ahead by a trace, and recorded.</summary>
    public ExportTraces Traces { get; } =
        ExportTraces.Load(Arguments.Recovery.Shared ? null : Arguments.PrefetchFile, Arguments.RecordFile) with { AroundBytes = Arguments.AroundBytes };

    /// <summary>Where the server is.</summary>
    public NbdTarget Target { get; } = NbdTarget.FromUri(Arguments.Uri);

    /// <summary>Connects and negotiates, for drivers whose data path runs through this process.</summary>
    /// <param name="interrupted">Ends the attempt.</param>
    /// <returns>The export; the caller owns it.</returns>
    public async Task<NbdExport> OpenExportAsync(CancellationToken interrupted)
    {
        Task<NbdExport> open = Keeper is { IsResuming: true }
            ? KeptMount.OpenAgainAsync(Target, ExportOptions, Loggers.CreateLogger("nbd"), interrupted)
            : NbdExport.OpenAsync(Target, ExportOptions, Loggers.CreateLogger("nbd"), interrupted);
        NbdExport export = await open.ConfigureAwait(false);
        if (Arguments.Recovery.Also.Count > 0)
        {
            // By another thread: the state is a file.
            export.StateChanged += change => _ = change.To == NbdExportState.Ready
                ? Task.Run(() => Publish(state => state with { Server = export.Server }))
                : Task.CompletedTask;
        }

        return export;
    }

    private NbdExportOptions ExportOptions => Arguments.Recovery with
    {
        ExportName = Arguments.Uri.ExportName,
        ReadOnly = IsReadOnly,
        Connections = Arguments.Connections,
        Transport = new NbdTransportOptions { Tls = Arguments.Tls, Connected = Keeper is null ? null : Keeper.Connected },
        KeptLog = Keeper?.WriteLog,
    };
}
