using System.Text;

namespace NbdFuse.Boot;

/// <summary>The modules of one kernel, and what they need of each other (modules.dep(5) and its neighbours, as depmod writes them).</summary>
internal sealed class ModuleTree
{
    private readonly string _directory;
    private readonly Dictionary<string, string[]> _dependencies = [];
    private readonly Dictionary<string, string> _paths = [];
    private readonly HashSet<string> _builtIn = [];
    private readonly Dictionary<string, string[]> _soft = [];
    private readonly List<(string Pattern, string Module)> _aliases = [];

    /// <summary>Reads the lists.</summary>
    /// <param name="directory">Such as /lib/modules/6.12.0: its name is the version.</param>
    /// <exception cref="BootException">It is not the directory of a kernel's modules, or depmod has not run.</exception>
    public ModuleTree(string directory)
    {
        _directory = Path.TrimEndingDirectorySeparator(Path.GetFullPath(directory));
        Version = Path.GetFileName(_directory);
        string list = Path.Combine(_directory, "modules.dep");
        if (!File.Exists(list))
        {
            throw new BootException(Directory.Exists(Path.Combine(_directory, "kernel"))
                ? $"{_directory} has no modules.dep; run 'depmod -b ROOT {Version}', where ROOT is the directory above lib/modules"
                : $"{_directory} is no directory of kernel modules; give lib/modules/VERSION by --modules, or a version by --kernel");
        }

        foreach (string line in File.ReadLines(list))
        {
            int colon = line.IndexOf(':', StringComparison.Ordinal);
            if (colon > 0)
            {
                _dependencies[line[..colon]] = line[(colon + 1)..].Split(' ', StringSplitOptions.RemoveEmptyEntries);
                _paths[NameOf(line[..colon])] = line[..colon];
            }
        }

        _builtIn.UnionWith(Lines("modules.builtin").Select(NameOf));
        foreach (string[] words in Lines("modules.alias").Select(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries)))
        {
            if (words is ["alias", var pattern, var module])
            {
                _aliases.Add((pattern, Normal(module)));
            }
        }

        foreach (string[] words in Lines("modules.softdep").Select(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries)))
        {
            if (words is ["softdep", var module, ..])
            {
                _soft[Normal(module)] = [.. words.Skip(2).Where(word => !word.EndsWith(':'))];
            }
        }
    }

    /// <summary>Version of the kernel, as <c>uname -r</c> prints it.</summary>
    public string Version { get; }

    /// <summary>Whether this kernel has a module, or holds it built in.</summary>
    /// <param name="name">Its name, with - or _.</param>
    public bool Has(string name) => _paths.ContainsKey(Normal(name)) || _builtIn.Contains(Normal(name));

    /// <summary>Whether a module is built in.</summary>
    /// <param name="name">Its name, with - or _.</param>
    public bool IsBuiltIn(string name) => _builtIn.Contains(Normal(name));

    /// <summary>All that the named modules need, and themselves.</summary>
    /// <param name="names">Names; those that this kernel does not have are left out.</param>
    /// <returns>Paths below the directory, in the order of modules.dep.</returns>
    public List<string> Closure(IEnumerable<string> names)
    {
        HashSet<string> found = [];
        Stack<string> waiting = new(names.SelectMany(Resolve));
        while (waiting.TryPop(out string? path))
        {
            if (!found.Add(path))
            {
                continue;
            }

            foreach (string needed in _dependencies[path].Concat(_soft.GetValueOrDefault(NameOf(path), []).SelectMany(Resolve)))
            {
                waiting.Push(needed);
            }
        }

        return [.. _dependencies.Keys.Where(found.Contains)];
    }

    /// <summary>Adds modules, decompressed, with the lists that modprobe reads.</summary>
    /// <param name="tree">The archive.</param>
    /// <param name="paths">From <see cref="Closure"/>.</param>
    public void AddTo(ArchiveTree tree, IReadOnlyList<string> paths)
    {
        string target = $"lib/modules/{Version}";
        foreach (string path in paths)
        {
            string source = Path.Combine(_directory, path);
            if (!File.Exists(source))
            {
                throw new BootException($"{source} stands in modules.dep and is not there; run 'depmod {Version}'");
            }

            tree.AddContent($"{target}/{Plain(path)}", () => Decompression.Read(source), ArchiveTree.FileMode);
        }

        HashSet<string> names = [.. paths.Select(NameOf)];
        AddList("modules.dep", paths.Select(path => $"{Plain(path)}:{string.Concat(_dependencies[path].Select(needed => " " + Plain(needed)))}"));
        AddList("modules.alias", _aliases.Where(alias => names.Contains(alias.Module)).Select(alias => $"alias {alias.Pattern} {alias.Module}"));
        AddList("modules.builtin", Lines("modules.builtin"));
        AddList("modules.symbols", []);

        void AddList(string name, IEnumerable<string> lines) => tree.AddText($"{target}/{name}", string.Concat(lines.Select(line => line + "\n")));
    }

    private static string NameOf(string path) => Normal(Path.GetFileName(path).Split(".ko")[0]);

    private static string Normal(string name) => name.Replace('-', '_');

    private static string Plain(string path) => path[..(path.LastIndexOf(".ko", StringComparison.Ordinal) + 3)];

    private IEnumerable<string> Resolve(string name) =>
        _paths.TryGetValue(Normal(name), out string? path) ? [path]
        : _builtIn.Contains(Normal(name)) ? []
        : _aliases.Where(alias => alias.Pattern == name || alias.Pattern == $"crypto-{name}").Select(alias => _paths.GetValueOrDefault(alias.Module)).OfType<string>();

    private IEnumerable<string> Lines(string name)
    {
        string path = Path.Combine(_directory, name);
        return File.Exists(path)
            ? File.ReadLines(path, Encoding.UTF8).Where(line => line.Length > 0 && line[0] != '#')
            : [];
    }
}
