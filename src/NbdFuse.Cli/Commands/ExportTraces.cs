using System.Globalization;
using NbdFuse.Cache;

namespace NbdFuse.Cli;

/// <summary>What is read ahead of the reader by a trace, and where a trace of this reader goes. Immutable.</summary>
internal sealed record ExportTraces
{
    private const long LargestMemory = 32L << 20;
    private const long LargestAround = 16L << 20;
    private const long SmallestAround = 8L << 20;
    private const string MemoryInfo = "/proc/meminfo";

    /// <summary>Neither.</summary>
    public static readonly ExportTraces None = new();

    /// <summary>An earlier reader's trace, or null.</summary>
    public AccessTrace? Prefetch { get; init; }

    /// <summary>Absolute path of the file for this reader's trace, or null.</summary>
    public string? RecordPath { get; init; }

    /// <summary>Memory for what lies around short reads of a slow server, in bytes; 0: no such reading.</summary>
    public long AroundBytes { get; init; }

    /// <summary>Whether anything is asked for.</summary>
    public bool IsAny => Prefetch is not null || RecordPath is not null;

    /// <summary>Reads the one, and looks whether the other can be written.</summary>
    /// <param name="prefetch">Path of a trace, or null.</param>
    /// <param name="record">Path for a trace, or null.</param>
    /// <exception cref="IOException">The one is no trace, or there is no directory for the other.</exception>
    public static ExportTraces Load(string? prefetch, string? record)
    {
        string? path = record is null ? null : Path.GetFullPath(record);
        if (path is not null && !Directory.Exists(Path.GetDirectoryName(path)))
        {
            throw new DirectoryNotFoundException($"--record {record}: there is no directory for it");
        }

        return new ExportTraces { Prefetch = prefetch is null ? null : AccessTrace.Read(prefetch), RecordPath = path };
    }

    /// <summary>Memory for <see cref="AroundBytes"/> of a boot, in bytes: a thirty-second, and none on a machine that has none to spare.</summary>
    /// <param name="path">The kernel's file, such as /proc/meminfo.</param>
    public static long AroundBytesAtBoot(string path = MemoryInfo) =>
        MemoryBytes(path) / 2 is >= SmallestAround and var bytes ? Math.Min(LargestAround, bytes) : 0;

    /// <summary>Memory for what is read ahead, in bytes: of a small machine, a small part.</summary>
    /// <param name="path">The kernel's file, such as /proc/meminfo.</param>
    public static long MemoryBytes(string path = MemoryInfo)
    {
        try
        {
            string line = File.ReadLines(path).FirstOrDefault(text => text.StartsWith("MemTotal:", StringComparison.Ordinal), string.Empty);
            return long.TryParse(line["MemTotal:".Length..].Replace("kB", string.Empty, StringComparison.Ordinal), NumberStyles.AllowLeadingWhite | NumberStyles.AllowTrailingWhite, CultureInfo.InvariantCulture, out long kilobytes)
                ? Math.Clamp(kilobytes / 16 << 10 & ~4095L, BlockCacheOptions.MinimumBytes, LargestMemory)
                : LargestMemory;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentOutOfRangeException)
        {
            return LargestMemory;
        }
    }
}
