using NbdFuse.Protocol;

namespace NbdFuse.Cli;

/// <summary>URIs of the exports that a server lists.</summary>
internal static class ExportUri
{
    /// <summary>The URI with another export name; the server and everything else stay.</summary>
    /// <param name="uri">Names the server.</param>
    /// <param name="exportName">The export; empty for the default one.</param>
    public static string For(NbdUri uri, string exportName)
    {
        string text = uri.ToString();
        int path = text.IndexOf('/', text.IndexOf("://", StringComparison.Ordinal) + 3);
        int query = text.IndexOf('?', path);
        string name = Uri.EscapeDataString(exportName).Replace("%2F", "/", StringComparison.Ordinal);
        return string.Concat(text.AsSpan(0, path + 1), name, query < 0 ? string.Empty : text.AsSpan(query));
    }
}
