using System.Security.Cryptography;
using System.Text;
using NbdFuse.TestKit;

namespace NbdFuse.VmTests.Harness;

/// <summary>Programs of this machine, with the shared libraries that they need.</summary>
internal static class HostPrograms
{
    /// <summary>The libraries of a program and the loader, by ldd: path as the program looks for it.</summary>
    /// <param name="program">Full path.</param>
    public static List<string> Libraries(string program)
    {
        ToolResult result = Tool.Run("ldd", program);
        if (result.ExitCode != 0)
        {
            // A static program, or a script.
            return [];
        }

        var paths = new List<string>();
        foreach (string line in result.Output.Split('\n'))
        {
            // "libc.so.6 => /lib/libc.so.6 (0x...)", or the loader: "/lib64/ld.so (0x...)"
            string word = (line.Contains("=>", StringComparison.Ordinal) ? line.Split("=>")[1] : line).Trim().Split(' ')[0];
            if (word.StartsWith('/'))
            {
                paths.Add(word);
            }
        }

        return paths;
    }

    /// <summary>Makes a read-only ext4 image whose root is the guest's /usr. Made once per set of files.</summary>
    /// <param name="directory">Where images are kept.</param>
    /// <param name="names">Names of the programs.</param>
    /// <param name="extra">Further files: path below /usr, and where it is here.</param>
    /// <returns>Path of the image.</returns>
    public static string BuildDisk(string directory, IEnumerable<string> names, IEnumerable<(string Target, string Source)> extra)
    {
        var files = new SortedDictionary<string, string>(StringComparer.Ordinal);
        foreach ((string target, string source) in extra)
        {
            files[target] = source;
        }

        foreach (string name in names)
        {
            string program = Requires.Command(name);
            Add(files, program);
            foreach (string library in Libraries(Resolve(program)))
            {
                Add(files, library);
            }
        }

        var key = new StringBuilder();
        long bytes = 0;
        foreach ((string target, string source) in files)
        {
            var info = new FileInfo(source);
            bytes += info.Length;
            key.AppendLine(System.Globalization.CultureInfo.InvariantCulture, $"{target} {source} {info.Length} {info.LastWriteTimeUtc.Ticks}");
        }

        string hash = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(key.ToString())))[..16];
        string image = Path.Combine(directory, $"programs-{hash}.img");
        if (File.Exists(image))
        {
            return image;
        }

        using var work = new TempDirectory();
        foreach ((string target, string source) in files)
        {
            string copy = work[$"tree/{target}"];
            Directory.CreateDirectory(Path.GetDirectoryName(copy)!);
            File.Copy(source, copy);
        }

        // Written beside, then renamed: another test program may look for it.
        string unfinished = $"{image}.{Environment.ProcessId}";
        long size = bytes + (bytes / 8) + (files.Count * 4096L) + (8 << 20);
        Tool.Run(
            "mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-d", work["tree"], unfinished, $"{size / 1024}k")
            .EnsureSuccess();
        File.Move(unfinished, image, overwrite: true);
        return image;
    }

    /// <summary>Follows the links of a path, to the file itself.</summary>
    public static string Resolve(string path) =>
        Path.Combine(ResolveDirectory(path), Path.GetFileName(File.ResolveLinkTarget(path, returnFinalTarget: true)?.FullName ?? path));

    private static string ResolveDirectory(string path)
    {
        string file = File.ResolveLinkTarget(path, returnFinalTarget: true)?.FullName ?? path;
        return RealPath(Path.GetDirectoryName(file)!);
    }

    private static void Add(SortedDictionary<string, string> files, string path)
    {
        // /lib and /sbin are links to what is below /usr.
        string target = Path.Combine(RealPath(Path.GetDirectoryName(path)!), Path.GetFileName(path));
        if (!target.StartsWith("/usr/", StringComparison.Ordinal))
        {
            throw new NotSupportedException($"{path} is not below /usr: it can't be taken into a guest.");
        }

        files[target["/usr/".Length..]] = Resolve(path);
    }

    private static string RealPath(string directory)
    {
        string result = "/";
        foreach (string part in directory.Split('/', StringSplitOptions.RemoveEmptyEntries))
        {
            string next = Path.Combine(result, part);
            result = Directory.ResolveLinkTarget(next, returnFinalTarget: true)?.FullName ?? next;
        }

        return result;
    }
}
