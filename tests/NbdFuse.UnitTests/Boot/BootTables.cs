using System.Runtime.CompilerServices;

namespace NbdFuse.UnitTests.Boot;

/// <summary>The tables of docs/BOOT.md: what users read is what is tested.</summary>
internal static class BootTables
{
    /// <summary>Rows of the table whose heading begins with a cell.</summary>
    public static List<string[]> Rows(string firstHeading)
    {
        List<string[]> rows = [];
        bool inside = false;
        foreach (string line in File.ReadLines(Path.Combine(Root(), "docs", "BOOT.md")))
        {
            if (!line.StartsWith('|'))
            {
                inside = false;
                continue;
            }

            string[] cells = [.. line.Trim('|').Split('|').Select(cell => cell.Trim().Trim('`'))];
            if (inside && !cells[0].StartsWith("---", StringComparison.Ordinal))
            {
                rows.Add(cells);
            }

            inside |= cells[0] == firstHeading;
        }

        return rows;
    }

    private static string Root([CallerFilePath] string path = "") =>
        Path.GetFullPath(Path.Combine(Path.GetDirectoryName(path)!, "..", "..", ".."));
}
