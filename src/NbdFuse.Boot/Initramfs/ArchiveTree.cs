using System.Globalization;
using System.Text;
using NbdFuse.Native;

namespace NbdFuse.Boot;

/// <summary>
/// The content of an initramfs, written in the kernel's format ("newc", Documentation/driver-api/early-userspace/buffer-format.rst).
/// The same content gives the same bytes, whatever order it was added in: entries are sorted, numbered in that order, belong to root
/// and bear one time.
/// </summary>
internal sealed class ArchiveTree
{
    /// <summary>Permissions of a program.</summary>
    public const int ProgramMode = 0x1ED;

    /// <summary>Permissions of a file.</summary>
    public const int FileMode = 0x1A4;

    private const int RegularFile = 0x8000;
    private const int Directory = 0x4000;
    private const int SymbolicLink = 0xA000;
    private const int CharacterDevice = 0x2000;
    private const int LinkMode = 0x1FF;
    private const int HeaderLength = 110;

    private readonly SortedDictionary<string, ArchiveEntry> _entries = new(StringComparer.Ordinal);

    /// <summary>Paths of all entries, without a leading slash, sorted.</summary>
    public IEnumerable<string> Paths => _entries.Keys;

    /// <summary>Whether there is an entry.</summary>
    /// <param name="path">Its path, with or without a leading slash.</param>
    public bool Contains(string path) => _entries.ContainsKey(Clean(path));

    /// <summary>Adds a file that is read when the archive is written; its directories come into being by themselves.</summary>
    /// <param name="path">Where it goes.</param>
    /// <param name="source">Where it is.</param>
    /// <param name="mode">Permissions.</param>
    public void AddFile(string path, string source, int mode) => Add(path, new ArchiveEntry(RegularFile | mode) { Read = () => File.ReadAllBytes(source) });

    /// <summary>Adds a file whose content comes from a function.</summary>
    /// <param name="path">Where it goes.</param>
    /// <param name="read">Gives the content when the archive is written.</param>
    /// <param name="mode">Permissions.</param>
    public void AddContent(string path, Func<byte[]> read, int mode) => Add(path, new ArchiveEntry(RegularFile | mode) { Read = read });

    /// <summary>Adds a file with a text.</summary>
    /// <param name="path">Where it goes.</param>
    /// <param name="text">Its content.</param>
    /// <param name="mode">Permissions.</param>
    public void AddText(string path, string text, int mode = FileMode) => AddContent(path, () => Encoding.UTF8.GetBytes(text), mode);

    /// <summary>Adds a directory.</summary>
    /// <param name="path">Its path.</param>
    public void AddDirectory(string path)
    {
        string clean = Clean(path);
        if (clean.Length == 0 || _entries.ContainsKey(clean))
        {
            return;
        }

        Add(clean, new ArchiveEntry(Directory | ProgramMode));
    }

    /// <summary>Adds a symbolic link.</summary>
    /// <param name="path">Its path.</param>
    /// <param name="target">Its target.</param>
    public void AddLink(string path, string target) => Add(path, new ArchiveEntry(SymbolicLink | LinkMode) { Read = () => Encoding.UTF8.GetBytes(target) });

    /// <summary>Adds a character device.</summary>
    /// <param name="path">Its path.</param>
    /// <param name="major">Major number.</param>
    /// <param name="minor">Minor number.</param>
    public void AddCharacterDevice(string path, int major, int minor) =>
        Add(path, new ArchiveEntry(CharacterDevice | 0x180) { Major = major, Minor = minor });

    /// <summary>Writes the archive.</summary>
    /// <param name="output">Where to.</param>
    /// <param name="time">Time of all entries, in seconds since 1970; 0 to 4294967295.</param>
    /// <returns>Its length in bytes.</returns>
    public long Write(Stream output, long time)
    {
        long length = 0;
        int inode = 0;
        foreach ((string path, ArchiveEntry entry) in _entries)
        {
            byte[] content = entry.Read();
            int links = (entry.Mode & 0xF000) == Directory ? 2 : 1;
            length += WriteEntry(output, path, ++inode, links, entry, time, content);
        }

        return length + WriteEntry(output, "TRAILER!!!", 0, 1, new ArchiveEntry(0), 0, []);
    }

    /// <summary>Writes the content into a directory; what is there already stays as it is, devices are left out.</summary>
    /// <param name="directory">The directory.</param>
    public void WriteTo(string directory)
    {
        foreach ((string path, ArchiveEntry entry) in _entries)
        {
            string full = Path.Combine(directory, path);
            switch (entry.Mode & 0xF000)
            {
                case Directory:
                    System.IO.Directory.CreateDirectory(full);
                    break;
                case SymbolicLink when !Path.Exists(full) && new FileInfo(full).LinkTarget is null:
                    File.CreateSymbolicLink(full, Encoding.UTF8.GetString(entry.Read()));
                    break;
                case RegularFile when !Path.Exists(full):
                    File.WriteAllBytes(full, entry.Read());
                    PosixException.Check(Posix.Chmod(full, entry.Mode & 0xFFF), full);
                    break;
            }
        }
    }

    private static string Clean(string path) => path.Trim('/');

    private static int Padding(long length) => (int)(-length & 3);

    private static long WriteEntry(Stream output, string path, int inode, int links, ArchiveEntry entry, long time, byte[] content)
    {
        byte[] name = Encoding.UTF8.GetBytes(path + "\0");
        long[] fields = [inode, entry.Mode, 0, 0, links, time, content.Length, 0, 0, entry.Major, entry.Minor, name.Length, 0];
        var header = new StringBuilder("070701", HeaderLength);
        foreach (long field in fields)
        {
            header.Append(((uint)field).ToString("x8", CultureInfo.InvariantCulture));
        }

        int headPadding = Padding(HeaderLength + name.Length);
        int padding = Padding(content.Length);
        output.Write(Encoding.ASCII.GetBytes(header.ToString()));
        output.Write(name);
        output.Write(new byte[headPadding]);
        output.Write(content);
        output.Write(new byte[padding]);
        return HeaderLength + name.Length + headPadding + content.LongLength + padding;
    }

    private void Add(string path, ArchiveEntry entry)
    {
        string clean = Clean(path);
        int slash = clean.LastIndexOf('/');
        if (slash > 0)
        {
            AddDirectory(clean[..slash]);
        }

        _entries[clean] = entry;
    }
}
