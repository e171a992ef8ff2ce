namespace NbdFuse.TestKit;

/// <summary>
/// A fresh directory that goes with everything in it. Its path is short: a unix socket's has 107 bytes at most.
/// </summary>
public sealed class TempDirectory : IDisposable
{
    /// <summary>Makes the directory, mode 0700.</summary>
    public TempDirectory()
    {
        Path = Directory.CreateTempSubdirectory("nf-").FullName;
    }

    /// <summary>Full path.</summary>
    public string Path { get; }

    /// <summary>Path of a file in it.</summary>
    /// <param name="name">Name of the file.</param>
    public string this[string name] => System.IO.Path.Combine(Path, name);

    /// <summary>Makes a sparse file in it.</summary>
    /// <param name="name">Name of the file.</param>
    /// <param name="size">Size in bytes.</param>
    /// <returns>Its full path.</returns>
    public string CreateFile(string name, long size)
    {
        string path = this[name];
        using FileStream file = File.Create(path);
        file.SetLength(size);
        return path;
    }

    /// <summary>Makes a file in it.</summary>
    /// <param name="name">Name of the file.</param>
    /// <param name="content">Its content.</param>
    /// <returns>Its full path.</returns>
    public string CreateFile(string name, ReadOnlySpan<byte> content)
    {
        string path = this[name];
        File.WriteAllBytes(path, content);
        return path;
    }

    /// <inheritdoc/>
    public override string ToString() => Path;

    /// <inheritdoc/>
    public void Dispose()
    {
        if (Directory.Exists(Path))
        {
            Directory.Delete(Path, recursive: true);
        }
    }
}
