using NbdFuse.TestKit;

namespace NbdFuse.MountTests;

/// <summary>Compares whole files.</summary>
internal static class FileContent
{
    /// <summary>Fails unless a file holds exactly this.</summary>
    /// <param name="expected">The content.</param>
    /// <param name="path">The file.</param>
    public static void AssertEqual(ReadOnlySpan<byte> expected, string path) =>
        PatternData.AssertEqual(expected, File.ReadAllBytes(path), context: path);
}
