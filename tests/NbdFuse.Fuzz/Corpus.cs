namespace NbdFuse.Fuzz;

/// <summary>The well-formed inputs of a target: files of its folder, and those that it makes itself.</summary>
internal static class Corpus
{
    /// <summary>Where the files are.</summary>
    private static readonly string Folder = Path.Combine(AppContext.BaseDirectory, "Corpus");

    /// <summary>All inputs of a target, in a fixed order.</summary>
    /// <param name="target">The target.</param>
    public static IReadOnlyList<byte[]> Of(IFuzzTarget target)
    {
        byte[][] inputs = [.. Files(target.Name), .. target.Seeds];
        return inputs.Length > 0 ? inputs : throw new InvalidOperationException($"The target {target.Name} has no input to begin with.");
    }

    /// <summary>The files of a target's folder.</summary>
    /// <param name="name">The target's name.</param>
    public static IEnumerable<byte[]> Files(string name)
    {
        string folder = Path.Combine(Folder, name);
        return Directory.Exists(folder)
            ? Directory.GetFiles(folder).Order(StringComparer.Ordinal).Select(File.ReadAllBytes)
            : [];
    }
}
