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
    /// <summary>Log of the command.</summary>
    public ILogger Logger { get; } = Loggers.CreateLogger(ErrorText.Program);

    /// <summary>Options of -o; <c>ro</c> among them is <see cref="IsReadOnly"/>.</summary>
    public FuseMountOptions MountOptions { get; } = FuseMountOptionParser.Parse(Arguments.MountOptions) with { AutoUnmount = false };

    /// <summary>The user wants no writes.</summary>
    public bool IsReadOnly => Arguments.ReadOnly || MountOptions.IsReadOnly;

    /// <summary>Where the server is.</summary>
    public NbdTarget Target { get; } = NbdTarget.FromUri(Arguments.Uri);

    /// <summary>Connects and negotiates, for drivers whose data path runs through this process.</summary>
    /// <param name="interrupted">Ends the attempt.</param>
    /// <returns>The export; the caller owns it.</returns>
    public Task<NbdExport> OpenExportAsync(CancellationToken interrupted) => NbdExport.OpenAsync(
        Target,
        Arguments.Recovery with
        {
            ExportName = Arguments.Uri.ExportName,
            ReadOnly = IsReadOnly,
            Connections = Arguments.Connections,
        },
        Loggers.CreateLogger("nbd"),
        interrupted);
}
