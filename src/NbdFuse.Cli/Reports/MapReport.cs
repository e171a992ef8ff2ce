using System.Globalization;
using NbdFuse.Client;
using NbdFuse.Protocol;

namespace NbdFuse.Cli;

/// <summary>What <c>map</c> prints: nbdinfo's lines and JSON, extent by extent, whatever the size of the map.</summary>
/// <param name="context">Name of the metadata context.</param>
/// <param name="json">Whether to print JSON.</param>
/// <param name="output">Where it goes.</param>
internal sealed class MapReport(string context, bool json, TextWriter output)
{
    // A hostile server could name another status for each byte.
    private const int MaximumTypes = 65536;

    private readonly SortedDictionary<ulong, long> _totals = [];
    private bool _more;

    /// <summary>Prints one extent.</summary>
    /// <param name="extent">The extent.</param>
    public void Print(NbdMapExtent extent)
    {
        string? text = Describe(context, extent.Status);
        if (json)
        {
            Separate();
            output.Write(string.Create(
                CultureInfo.InvariantCulture,
                $"{{ \"offset\": {extent.Offset}, \"length\": {extent.Length}, \"type\": {extent.Status}{JsonText(text)}}}"));
        }
        else
        {
            output.Write(string.Create(
                CultureInfo.InvariantCulture, $"{extent.Offset,10}  {extent.Length,10}  {extent.Status,3}{(text is null ? string.Empty : "  " + text)}\n"));
        }
    }

    /// <summary>Adds an extent to the totals.</summary>
    /// <param name="extent">The extent.</param>
    public void Count(NbdMapExtent extent)
    {
        if (!_totals.TryGetValue(extent.Status, out long sum) && _totals.Count == MaximumTypes)
        {
            throw new NbdException($"the server names more than {MaximumTypes} kinds of extents; see the map without --totals");
        }

        _totals[extent.Status] = sum + extent.Length;
    }

    /// <summary>Prints the totals, which are all there is then.</summary>
    /// <param name="size">Size of the export in bytes.</param>
    public void PrintTotals(long size)
    {
        foreach ((ulong status, long sum) in _totals)
        {
            string? text = Describe(context, status);
            double percent = 100.0 * sum / size;
            if (json)
            {
                Separate();

                // As C's %g: six digits; the exponent's letter is small there.
                string number = percent.ToString("G6", CultureInfo.InvariantCulture).ToLowerInvariant();
                output.Write(string.Create(
                    CultureInfo.InvariantCulture, $"{{ \"size\": {sum}, \"percent\": {number}, \"type\": {status}{JsonText(text)} }}"));
            }
            else
            {
                output.Write(string.Create(
                    CultureInfo.InvariantCulture, $"{sum,10} {percent,5:F1}% {status,3}{(text is null ? string.Empty : " " + text)}\n"));
            }
        }

        if (json)
        {
            output.Write(_more ? "\n]\n" : "[]\n");
        }
    }

    /// <summary>Ends the list of extents.</summary>
    public void End()
    {
        if (json)
        {
            output.Write(_more ? "\n]\n" : "[\n\n]\n");
        }
    }

    /// <summary>What a status means, or null when nobody here knows.</summary>
    /// <param name="context">Name of the metadata context.</param>
    /// <param name="status">The status.</param>
    internal static string? Describe(string context, ulong status) => (context, status) switch
    {
        (NbdMetaContextNames.BaseAllocation, 0) => "data",
        (NbdMetaContextNames.BaseAllocation, 1) => "hole",
        (NbdMetaContextNames.BaseAllocation, 2) => "zero",
        (NbdMetaContextNames.BaseAllocation, 3) => "hole,zero",
        (NbdMetaContextNames.QemuAllocationDepth, 0) => "unallocated",
        (NbdMetaContextNames.QemuAllocationDepth, 1) => "local",
        (NbdMetaContextNames.QemuAllocationDepth, _) => $"backing depth {status}",
        _ when context.StartsWith(NbdMetaContextNames.QemuDirtyBitmapPrefix, StringComparison.Ordinal) => status switch
        {
            0 => "clean",
            1 => "dirty",
            _ => null,
        },
        _ => null,
    };

    private static string JsonText(string? text) => text is null ? string.Empty : $", \"description\": \"{text}\"";

    private void Separate()
    {
        output.Write(_more ? ",\n" : "[\n");
        _more = true;
    }
}
