using NbdFuse.Block;
using NbdFuse.Client.Transmission;
using NbdFuse.Protocol;

namespace NbdFuse.Client;

/// <content>An export that came back larger than it was.</content>
/// <remarks>
/// THREADING: the loop. The new size counts from the moment at which the export is ready again, before one of the requests that
/// waited goes out: by then the disk is known to be the same, and the log is written.
/// </remarks>
public sealed partial class NbdExport
{
    // What the server of the present connections said; null before the first reconnection.
    private NbdExportInfo? _found;

    /// <summary>
    /// Raised on the export's loop when <see cref="Info"/> tells of a larger size, before anything is sent that needs it. What it
    /// calls must neither block nor throw; whoever stands above takes the size over by <see cref="IBlockDevice.AdoptSize"/>.
    /// </summary>
    public event Action? Grown;

    private void AdoptGrowth()
    {
        NbdExportInfo before = Negotiated.Export;
        if (_found is not { } found || found.Size <= before.Size)
        {
            return;
        }

        Log.Grown(_logger, before.Size, found.Size);

        // From here on a smaller one is another one.
        Negotiated = Negotiated with { Export = before with { Size = found.Size } };
        Info = Info.WithSizeOf(ExportGeometry.Describe(found, _options.ReadOnly));
        Grown?.Invoke();
    }
}
