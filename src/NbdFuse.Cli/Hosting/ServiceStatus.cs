using System.Globalization;
using NbdFuse.Client;

namespace NbdFuse.Cli;

/// <summary>The line that systemd shows about a mount or device: STATUS= of sd_notify(3).</summary>
internal static class ServiceStatus
{
    /// <summary>Before there is anything to use.</summary>
    /// <param name="target">Where the server is.</param>
    public static string Connecting(NbdTarget target) => $"STATUS=connecting to {ErrorText.OneLine(target.ToString()!)}";

    /// <summary>It can be used.</summary>
    /// <param name="path">The file or device.</param>
    public static string Usable(string path) => $"READY=1\nSTATUS=serving {path}";

    /// <summary>After a change of the export's state.</summary>
    /// <param name="change">The change.</param>
    /// <param name="path">The file or device.</param>
    /// <returns>Null for a state that nobody needs to hear of.</returns>
    public static string? Of(NbdExportStateChange change, string path) => change.To switch
    {
        NbdExportState.Recovering => string.Create(
            CultureInfo.InvariantCulture,
            $"STATUS=recovering {path}: {change.Cause}; {change.Waiting} requests wait, {change.LoggedBytes} bytes are not flushed"),
        NbdExportState.Ready => string.Create(
            CultureInfo.InvariantCulture,
            $"STATUS=serving {path}; the server was away for {change.Duration.TotalSeconds:0.0} s, {change.ReplayedWrites} writes were sent again, generation {change.Generation}"),
        NbdExportState.Failed => $"STATUS=failed: {path}: {change.Cause}",
        _ => null,
    };
}
