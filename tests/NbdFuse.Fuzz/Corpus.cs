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
        List<byte[]> inputs = [.. target.Seeds];
        string folder = Path.Combine(Folder, target.Name);
        if (Directory.Exists(folder))
        {
            inputs.AddRange(Directory.GetFiles(folder).Order(StringComparer.Ordinal).Select(File.ReadAllBytes));
        }

        return inputs.Count > 0 ? inputs : throw new InvalidOperationException($"The target {target.Name} has no input to begin with.");
    }
}
