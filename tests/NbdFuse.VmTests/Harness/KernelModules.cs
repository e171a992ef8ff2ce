namespace NbdFuse.VmTests.Harness;

/// <summary>The modules of the guests' kernel, and what they need of each other (modules.dep(5)).</summary>
internal sealed class KernelModules
{
    private readonly string _directory;
    private readonly Dictionary<string, string[]> _dependencies = [];
    private readonly Dictionary<string, string> _pathOfName = [];
    private readonly HashSet<string> _builtIn = [];

    /// <summary>Reads the lists.</summary>
    /// <param name="directory">lib/modules/VERSION.</param>
    public KernelModules(string directory)
    {
        _directory = directory;
        foreach (string line in File.ReadLines(Path.Combine(directory, "modules.dep")))
        {
            int colon = line.IndexOf(':');
            string path = line[..colon];
            _dependencies[path] = line[(colon + 1)..].Split(' ', StringSplitOptions.RemoveEmptyEntries);
            _pathOfName[NameOf(path)] = path;
        }

        foreach (string line in File.ReadLines(Path.Combine(directory, "modules.builtin")))
        {
            _builtIn.Add(NameOf(line));
        }
    }

    /// <summary>All that the named modules need, and themselves, as paths below <c>lib/modules/VERSION</c>, in the order of modules.dep.</summary>
    /// <param name="names">Names; one that is built into the kernel needs nothing.</param>
    /// <exception cref="ArgumentException">This kernel has no such module.</exception>
    public List<string> Closure(IEnumerable<string> names)
    {
        var found = new HashSet<string>();
        var waiting = new Stack<string>();
        foreach (string name in names.Select(static name => name.Replace('-', '_')))
        {
            if (_pathOfName.TryGetValue(name, out string? path))
            {
                waiting.Push(path);
            }
            else if (!_builtIn.Contains(name))
            {
                throw new ArgumentException($"The guests' kernel has no module '{name}'.", nameof(names));
            }
        }

        while (waiting.TryPop(out string? path))
        {
            if (found.Add(path))
            {
                foreach (string needed in _dependencies[path])
                {
                    waiting.Push(needed);
                }
            }
        }

        return [.. _dependencies.Keys.Where(found.Contains)];
    }

    /// <summary>Puts modules, and the lists that modprobe reads, into an archive.</summary>
    /// <param name="archive">The archive.</param>
    /// <param name="target">lib/modules/VERSION in it.</param>
    /// <param name="paths">From <see cref="Closure"/>.</param>
    public void AddTo(CpioArchive archive, string target, IReadOnlyList<string> paths)
    {
        foreach (string path in paths)
        {
            archive.AddFile($"{target}/{path}", File.ReadAllBytes(Path.Combine(_directory, path)), GuestFile.DefaultMode);
        }

        HashSet<string> names = [.. paths.Select(NameOf)];
        IEnumerable<string> dependencies = paths.Select(path => $"{path}: {string.Join(' ', _dependencies[path])}");
        // "alias PATTERN MODULE"
        IEnumerable<string> aliases = File.ReadLines(Path.Combine(_directory, "modules.alias"))
            .Where(line => names.Contains(line[(line.LastIndexOf(' ') + 1)..].Replace('-', '_')));
        archive.AddFile($"{target}/modules.dep", Lines(dependencies), GuestFile.DefaultMode);
        archive.AddFile($"{target}/modules.alias", Lines(aliases), GuestFile.DefaultMode);
        archive.AddFile($"{target}/modules.symbols", [], GuestFile.DefaultMode);
        // Without it modprobe would fail for what is built in.
        archive.AddFile(
            $"{target}/modules.builtin", File.ReadAllBytes(Path.Combine(_directory, "modules.builtin")), GuestFile.DefaultMode);
    }

    private static byte[] Lines(IEnumerable<string> lines) =>
        System.Text.Encoding.UTF8.GetBytes(string.Concat(lines.Select(static line => line + "\n")));

    private static string NameOf(string path) => Path.GetFileName(path).Split(".ko")[0].Replace('-', '_');
}
