using System.Globalization;
using System.Text;

namespace NbdFuse.Fuse;

/// <summary>The mounts that this process sees.</summary>
internal static class MountTable
{
    private const string Source = "/proc/self/mountinfo";
    private const int FieldsBeforeOptional = 6;

    /// <summary>Reads the table; those that lie over others come later.</summary>
    /// <returns>Null when it can't be read: /proc is not mounted.</returns>
    internal static List<MountEntry>? Read()
    {
        try
        {
            return Parse(File.ReadLines(Source));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    /// <summary>Parses lines in the format of mountinfo; lines that are no mounts are left out.</summary>
    /// <param name="lines">The lines.</param>
    internal static List<MountEntry> Parse(IEnumerable<string> lines)
    {
        List<MountEntry> entries = [];
        foreach (string line in lines)
        {
            string[] fields = line.Split(' ');
            int separator = Array.IndexOf(fields, "-", Math.Min(FieldsBeforeOptional, fields.Length));
            if (separator > 0 && separator + 2 < fields.Length &&
                int.TryParse(fields[0], NumberStyles.None, CultureInfo.InvariantCulture, out int id))
            {
                entries.Add(new MountEntry(
                    id, fields[2], Unescape(fields[4]), Unescape(fields[separator + 1]), Unescape(fields[separator + 2])));
            }
        }

        return entries;
    }

    /// <summary>The topmost mount exactly at a path.</summary>
    /// <param name="entries">The table.</param>
    /// <param name="path">Absolute path without symbolic links.</param>
    internal static MountEntry? At(List<MountEntry> entries, string path) =>
        entries.FindLast(entry => entry.MountPoint == path);

    /// <summary>The mount that a path lies in.</summary>
    /// <param name="entries">The table.</param>
    /// <param name="path">Absolute path without symbolic links.</param>
    internal static MountEntry? Covering(List<MountEntry> entries, string path)
    {
        MountEntry? best = null;
        foreach (MountEntry entry in entries)
        {
            bool covers = path == entry.MountPoint || entry.MountPoint == "/" ||
                path.StartsWith(entry.MountPoint + "/", StringComparison.Ordinal);
            if (covers && (best is null || entry.MountPoint.Length >= best.MountPoint.Length))
            {
                best = entry;
            }
        }

        return best;
    }

    // Space, tab, line feed and backslash are written as a backslash and three octal digits.
    private static string Unescape(string field)
    {
        if (!field.Contains('\\', StringComparison.Ordinal))
        {
            return field;
        }

        StringBuilder text = new();
        for (int i = 0; i < field.Length; i++)
        {
            if (field[i] == '\\' && i + 3 < field.Length && IsOctal(field[i + 1]) && IsOctal(field[i + 2]) && IsOctal(field[i + 3]))
            {
                text.Append((char)(((field[i + 1] - '0') * 64) + ((field[i + 2] - '0') * 8) + (field[i + 3] - '0')));
                i += 3;
            }
            else
            {
                text.Append(field[i]);
            }
        }

        return text.ToString();
    }

    private static bool IsOctal(char digit) => digit is >= '0' and <= '7';
}
