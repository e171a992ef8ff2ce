using System.Globalization;

namespace NbdFuse.Cli;

/// <summary>
/// The kernel's own reading ahead of a mounted file, which decides how long the requests of a buffered reader are: longer ones cost
/// less processor time. Every user can lower it, only root can raise it.
/// </summary>
internal static class KernelReadAhead
{
    /// <summary>
    /// KiB that a mount gets as root, when its user says nothing. The kernel's default of 128 takes a quarter more processor time; more
    /// takes less still, but a program that has the file mapped reads so much around each page that it touches.
    /// </summary>
    public const int Kibibytes = 512;

    /// <summary>Raises it, where that is allowed; it is never lowered.</summary>
    /// <param name="device">Device number of the mount, as "major:minor"; null does nothing.</param>
    /// <param name="kibibytes">How far.</param>
    /// <param name="root">Where sysfs is.</param>
    /// <returns>Whether the kernel reads so far ahead from here on.</returns>
    public static bool TryRaise(string? device, int kibibytes, string root = "/sys")
    {
        if (device is null)
        {
            return false;
        }

        string path = Path.Combine(root, "class/bdi", device, "read_ahead_kb");
        try
        {
            if (!int.TryParse(File.ReadAllText(path).AsSpan().Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out int present))
            {
                return false;
            }

            if (present < kibibytes)
            {
                File.WriteAllText(path, kibibytes.ToString(CultureInfo.InvariantCulture));
            }

            return true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Without root, or in a container: it is slower so, and nothing else.
            return false;
        }
    }
}
