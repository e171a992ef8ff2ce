namespace NbdFuse.Boot;

/// <summary>Finds the libraries of programs by the rules of ld.so(8), below a directory that stands for the root.</summary>
/// <param name="root">The root directory; "/" for this machine.</param>
internal sealed class LibrarySearch(string root)
{
    private const int MaximumIncludes = 64;

    private List<string>? _configured;

    /// <summary>Finds all libraries that a program needs, and theirs, and the dynamic linker.</summary>
    /// <param name="program">Path of the program or library on this machine.</param>
    /// <param name="place">Where it will lie: what $ORIGIN means.</param>
    /// <returns>Place of each, as the dynamic linker looks for it, and where it is on this machine.</returns>
    /// <exception cref="BootException">One is not there.</exception>
    public SortedDictionary<string, string> Find(string program, string place)
    {
        var found = new SortedDictionary<string, string>(StringComparer.Ordinal);
        ElfFile? elf = ElfFile.TryRead(program);
        if (elf is null)
        {
            return found;
        }

        if (elf.InterpreterPath is { } interpreter)
        {
            found[interpreter] = Existing(interpreter)
                ?? throw Missing(interpreter, program);
        }

        HashSet<string> names = [];
        Stack<(ElfFile File, string Path, string Place)> waiting = new([(elf, program, place)]);
        while (waiting.TryPop(out var loading))
        {
            foreach (string name in loading.File.Needed)
            {
                if (!names.Add(name))
                {
                    continue;
                }

                (string target, string source, ElfFile library) = FindOne(name, loading.File, loading.Place) ?? throw Missing(name, loading.Path);

                // The dynamic linker itself is often among the needed libraries, by the name under which it is found elsewhere.
                if (elf.InterpreterPath is null || Path.GetFileName(elf.InterpreterPath) != name)
                {
                    found[target] = source;
                }

                waiting.Push((library, source, target));
            }
        }

        return found;
    }

    /// <summary>Finds a library that a program loads by its name only when it needs it.</summary>
    /// <param name="name">Such as <c>libssl.so.3</c>.</param>
    /// <param name="program">Path of the program on this machine.</param>
    /// <returns>Its place, as the dynamic linker looks for it, and where it is on this machine.</returns>
    /// <exception cref="BootException">It is not there.</exception>
    public (string Target, string Source) FindByName(string name, string program)
    {
        ElfFile elf = ElfFile.TryRead(program) ?? throw new BootException($"{program} is no program (no ELF file)");
        (string target, string source, _) = FindOne(name, elf, program) ?? throw Missing(name, program);
        return (target, source);
    }

    /// <summary>Directories that the dynamic linker looks into without being told.</summary>
    /// <param name="elf">A file of the architecture.</param>
    public static IReadOnlyList<string> DefaultDirectories(ElfFile elf)
    {
        string triplet = elf.Architecture switch
        {
            "armv7l" => "arm-linux-gnueabihf",
            "ppc64le" => "powerpc64le-linux-gnu",
            "i686" => "i386-linux-gnu",
            var name => $"{name}-linux-gnu",
        };
        string[] wide = elf.Is64Bit ? ["/lib64", "/usr/lib64"] : [];
        return [$"/lib/{triplet}", $"/usr/lib/{triplet}", .. wide, "/lib", "/usr/lib"];
    }

    private static BootException Missing(string name, string user) =>
        new($"{user} needs {name}, which is not on this machine");

    private (string Target, string Source, ElfFile File)? FindOne(string name, ElfFile user, string place)
    {
        IEnumerable<string> own = user.SearchPath.Select(directory => Expand(directory, place, user));
        foreach (string directory in own.Concat(DefaultDirectories(user)).Concat(_configured ??= [.. Configured()]))
        {
            string target = Path.Combine(directory, name);
            if (Existing(target) is { } source && ElfFile.TryRead(source) is { } file && file.Machine == user.Machine && file.Is64Bit == user.Is64Bit)
            {
                return (target, source, file);
            }
        }

        return null;
    }

    private static string Expand(string directory, string place, ElfFile user)
    {
        string origin = Path.GetDirectoryName(place) ?? "/";
        string lib = user.Is64Bit ? "lib64" : "lib";
        return Path.GetFullPath(directory
            .Replace("${ORIGIN}", origin, StringComparison.Ordinal).Replace("$ORIGIN", origin, StringComparison.Ordinal)
            .Replace("${LIB}", lib, StringComparison.Ordinal).Replace("$LIB", lib, StringComparison.Ordinal));
    }

    // Links are followed inside of the root.
    private string? Existing(string path)
    {
        string current = path;
        for (int i = 0; i < 16; i++)
        {
            var file = new FileInfo(Path.Join(root, current));
            if (!file.Exists && file.LinkTarget is null)
            {
                return null;
            }

            if (file.LinkTarget is not { } target)
            {
                return file.FullName;
            }

            current = Path.GetFullPath(Path.Combine(Path.GetDirectoryName(current) ?? "/", target));
        }

        return null;
    }

    private List<string> Configured()
    {
        List<string> directories = [];
        Queue<string> files = new(["/etc/ld.so.conf"]);
        for (int read = 0; read < MaximumIncludes && files.TryDequeue(out string? file); read++)
        {
            string path = Path.Join(root, file);
            if (!File.Exists(path))
            {
                continue;
            }

            foreach (string line in File.ReadLines(path).Select(line => line.Split('#')[0].Trim()))
            {
                if (line.StartsWith("include ", StringComparison.Ordinal))
                {
                    foreach (string included in Included(line["include ".Length..].Trim()))
                    {
                        files.Enqueue(included);
                    }
                }
                else if (line.StartsWith('/'))
                {
                    directories.Add(line);
                }
            }
        }

        return directories;
    }

    private IEnumerable<string> Included(string pattern)
    {
        string directory = Path.GetDirectoryName(pattern) ?? "/etc";
        string host = Path.Join(root, directory);
        return Directory.Exists(host)
            ? Directory.GetFiles(host, Path.GetFileName(pattern)).Order(StringComparer.Ordinal).Select(path => Path.Combine(directory, Path.GetFileName(path)))
            : [];
    }
}
