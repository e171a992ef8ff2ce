using System.Globalization;
using System.Text.RegularExpressions;

namespace NbdFuse.Boot;

/// <summary>Which filesystem of the export is the root. Immutable.</summary>
/// <param name="Kind">How it is picked.</param>
/// <param name="Value">Id or label; ids in lower case. Empty for the other kinds.</param>
/// <param name="Partition">
/// Number of the partition, 1 to 255; for <see cref="RootKind.PartitionUuid"/> what is added to the number of the one with this id.
/// </param>
public sealed partial record RootSelector(RootKind Kind, string Value = "", int Partition = 0)
{
    /// <summary>What <c>root=</c> may be, for messages.</summary>
    public const string Forms =
        "root=/dev/nbd0p1 (partition 1, whatever the driver), root=/dev/nbd0 (the whole export), PARTUUID=, PARTLABEL=, UUID= or LABEL=";

    private const int MaximumPartition = 255;

    /// <summary>Nothing is said.</summary>
    public static RootSelector Any { get; } = new(RootKind.Any);

    /// <summary>Reads a value of <c>root=</c> that names no server.</summary>
    /// <param name="text">The value.</param>
    /// <exception cref="BootArgumentException">It cannot be understood.</exception>
    public static RootSelector Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        string value = text.StartsWith("block:", StringComparison.Ordinal) ? text["block:".Length..] : text;
        if (value.Length == 0)
        {
            return Any;
        }

        if (value.StartsWith("/dev/", StringComparison.Ordinal))
        {
            return ParseDevice(value["/dev/".Length..], text);
        }

        int equals = value.IndexOf('=', StringComparison.Ordinal);
        return equals > 0 && equals + 1 < value.Length
            ? ParseTag(value[..equals].ToUpperInvariant(), value[(equals + 1)..].Trim('"'), text)
            : throw NotUnderstood(text);
    }

    /// <summary>For messages.</summary>
    public override string ToString() => Kind switch
    {
        RootKind.Any => "the filesystem of the export, or its only partition",
        RootKind.Whole => "the whole export",
        RootKind.Partition => string.Create(CultureInfo.InvariantCulture, $"partition {Partition}"),
        RootKind.PartitionUuid => Partition == 0
            ? $"PARTUUID={Value}"
            : string.Create(CultureInfo.InvariantCulture, $"PARTUUID={Value}/PARTNROFF={Partition}"),
        RootKind.PartitionLabel => $"PARTLABEL={Value}",
        RootKind.Uuid => $"UUID={Value}",
        _ => $"LABEL={Value}",
    };

    private static RootSelector ParseDevice(string name, string text)
    {
        if (name is "root" or "nbd" || RamDisk().IsMatch(name))
        {
            return new RootSelector(RootKind.Whole);
        }

        if (name.StartsWith("disk/by-", StringComparison.Ordinal) && name.IndexOf('/', "disk/by-".Length) is > 0 and int slash)
        {
            string by = name["disk/by-".Length..slash].ToUpperInvariant();
            return by is "UUID" or "LABEL" or "PARTUUID" or "PARTLABEL" && slash + 1 < name.Length
                ? ParseTag(by, name[(slash + 1)..], text)
                : throw NotUnderstood(text);
        }

        Match match = Device().Match(name);
        if (!match.Success)
        {
            throw NotUnderstood(text);
        }

        string digits = match.Groups["p"].Value + match.Groups["q"].Value;
        return digits.Length == 0
            ? new RootSelector(RootKind.Whole)
            : int.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out int number) && number is >= 1 and <= MaximumPartition
                ? new RootSelector(RootKind.Partition, Partition: number)
                : throw new BootArgumentException($"root={BootArgumentException.Quote(text)}: partitions have numbers from 1 to {MaximumPartition}");
    }

    private static RootSelector ParseTag(string tag, string value, string text)
    {
        switch (tag)
        {
            case "UUID":
                return new RootSelector(RootKind.Uuid, value.ToLowerInvariant());
            case "LABEL":
                return new RootSelector(RootKind.Label, value);
            case "PARTLABEL":
                return new RootSelector(RootKind.PartitionLabel, value);
            case "PARTUUID":
                Match match = PartitionOffset().Match(value);
                return !match.Success ? new RootSelector(RootKind.PartitionUuid, value.ToLowerInvariant())
                    : int.TryParse(match.Groups[2].ValueSpan, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int offset)
                        && offset is >= -MaximumPartition and <= MaximumPartition
                        ? new RootSelector(RootKind.PartitionUuid, match.Groups[1].Value.ToLowerInvariant(), offset)
                        : throw NotUnderstood(text);
            default:
                throw NotUnderstood(text);
        }
    }

    private static BootArgumentException NotUnderstood(string text) =>
        new($"root={BootArgumentException.Quote(text)} cannot be understood; write {Forms}, or leave it out");

    // Names that end with a digit take a p before the partition, others do not (disk_name in block/genhd.c).
    [GeneratedRegex("^(?:(?:nbd|loop|ublkb|mmcblk|md|nvme[0-9]+n)[0-9]+(?:p(?<p>[0-9]+))?|(?:sd|vd|hd|xvd)[a-z]{1,3}(?<q>[0-9]+)?)$", RegexOptions.CultureInvariant)]
    private static partial Regex Device();

    [GeneratedRegex("^ram[0-9]*$", RegexOptions.CultureInvariant)]
    private static partial Regex RamDisk();

    [GeneratedRegex("^(.+)/PARTNROFF=(-?[0-9]+)$", RegexOptions.CultureInvariant)]
    private static partial Regex PartitionOffset();
}
