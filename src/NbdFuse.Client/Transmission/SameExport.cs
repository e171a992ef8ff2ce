using NbdFuse.Protocol;

namespace NbdFuse.Client.Transmission;

/// <summary>Whether what a server offers after a reconnection can be the export that was lost.</summary>
internal static class SameExport
{
    /// <summary>Compares what was negotiated.</summary>
    /// <param name="before">What the export was.</param>
    /// <param name="now">What the server says now.</param>
    /// <returns>
    /// Null when it may be the same, else the difference, in words. A larger size is no difference, nor is an ability that the
    /// server did not have before.
    /// </returns>
    public static string? Difference(NbdExportInfo before, NbdExportInfo now)
    {
        if (now.Size < before.Size)
        {
            return $"it has {now.Size} bytes instead of {before.Size}";
        }

        if (now.IsReadOnly != before.IsReadOnly)
        {
            return now.IsReadOnly ? "it is read-only now" : "it was read-only before";
        }

        // Advertised with extended headers only, and not used here: without it the export is the same.
        NbdTransmissionFlags missing = before.Flags & ~now.Flags & ~NbdTransmissionFlags.BlockStatusPayload;
        if (missing != 0)
        {
            return $"it lacks the flags {missing}";
        }

        return before.BlockSizes == now.BlockSizes
            ? null
            : $"its block sizes are {Describe(now.BlockSizes)} instead of {Describe(before.BlockSizes)}";
    }

    private static string Describe(NbdBlockSizes? sizes) =>
        sizes is { } s ? $"{s.Minimum}/{s.Preferred}/{s.Maximum}" : "unknown";
}
