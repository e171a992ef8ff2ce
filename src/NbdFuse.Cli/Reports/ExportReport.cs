using NbdFuse.Protocol;

namespace NbdFuse.Cli;

/// <summary>What is shown about one export.</summary>
/// <param name="Name">The name, exactly as it must be asked for.</param>
/// <param name="Description">Text for humans, or null.</param>
/// <param name="Uri">A URI that opens it.</param>
/// <param name="Info">What the server said about it, or null when it refused to.</param>
/// <param name="Error">Why there is no <paramref name="Info"/>, or null.</param>
/// <param name="Contexts">Names of its metadata contexts, as the server sent them; null or empty when there are none.</param>
/// <param name="Content">What its first bytes are, in words, or null.</param>
internal sealed record ExportReport(
    string Name,
    string? Description,
    string Uri,
    NbdExportInfo? Info,
    string? Error = null,
    IReadOnlyList<string>? Contexts = null,
    string? Content = null)
{
    /// <summary>The yes-or-no lines of a report, in nbdinfo's order.</summary>
    /// <param name="info">What the server said.</param>
    public static IEnumerable<(string Key, bool Value)> Facts(NbdExportInfo info) =>
    [
        ("is_rotational", info.IsRotational),
        ("is_read_only", info.IsReadOnly),
        ("can_cache", info.CanCache),
        ("can_df", info.CanDf),
        ("can_fast_zero", info.CanFastZero),
        ("can_flush", info.CanFlush),
        ("can_fua", info.CanFua),
        ("can_multi_conn", info.CanMultiConn),
        ("can_trim", info.CanTrim),
        ("can_zero", info.CanWriteZeroes),
    ];

    /// <summary>The block size lines of a report, in bytes; none when the server advertised none.</summary>
    /// <param name="info">What the server said.</param>
    public static IEnumerable<(string Key, uint Value)> BlockSizes(NbdExportInfo info) => info.BlockSizes is { } sizes
        ?
        [
            ("block_size_minimum", sizes.Minimum),
            ("block_size_preferred", sizes.Preferred),
            ("block_size_maximum", sizes.Maximum),
        ]
        : [];
}
