using System.Globalization;

namespace NbdFuse.Fuzz;

/// <summary>
/// Watches what the process holds while thousands of inputs go by: descriptors and memory may not grow. Targets clean up after each
/// input, and nothing else runs in this process.
/// </summary>
internal sealed class Growth
{
    /// <summary>Inputs after which pools and lists have their size.</summary>
    private const int WarmUp = 256;

    private const int MostDescriptors = 16;
    private const long MostBytes = 160L << 20;

    private int _descriptors;
    private long _bytes;

    /// <summary>Looks, now and then.</summary>
    /// <param name="count">Inputs so far.</param>
    /// <returns>What has grown; null when nothing has.</returns>
    public string? Look(long count)
    {
        if (count == WarmUp)
        {
            (_descriptors, _bytes) = (Descriptors(), ResidentBytes());
            return null;
        }

        if (count < WarmUp || count % WarmUp != 0)
        {
            return null;
        }

        int descriptors = Descriptors();
        if (descriptors > _descriptors + MostDescriptors)
        {
            return string.Create(CultureInfo.InvariantCulture, $"{_descriptors} descriptors have become {descriptors}");
        }

        long bytes = ResidentBytes();
        return bytes > _bytes + MostBytes
            ? string.Create(CultureInfo.InvariantCulture, $"{_bytes >> 20} MiB of memory have become {bytes >> 20}")
            : null;
    }

    private static int Descriptors() => Directory.GetFiles("/proc/self/fd").Length;

    private static long ResidentBytes()
    {
        GC.Collect();
        string line = File.ReadLines("/proc/self/status").First(line => line.StartsWith("VmRSS:", StringComparison.Ordinal));
        return long.Parse(line[6..^2].Trim(), CultureInfo.InvariantCulture) * 1024;
    }
}
