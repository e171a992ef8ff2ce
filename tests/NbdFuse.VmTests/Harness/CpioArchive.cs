using System.Globalization;
using System.Text;

namespace NbdFuse.VmTests.Harness;

/// <summary>
/// Writes a cpio archive as the kernel unpacks it (Documentation/driver-api/early-userspace/buffer-format.rst, "newc"). Same
/// calls, same bytes: no times, no owners. Directories come into being by themselves.
/// </summary>
/// <param name="output">Where the archive goes.</param>
internal sealed class CpioArchive(Stream output)
{
    private const int RegularFile = 0x8000;
    private const int Directory = 0x4000;
    private const int SymbolicLink = 0xA000;
    private const int CharacterDevice = 0x2000;

    private readonly HashSet<string> _directories = [];
    private int _lastInode;

    /// <summary>Adds a file.</summary>
    public void AddFile(string path, byte[] content, UnixFileMode mode) => Add(path, RegularFile | (int)mode, content);

    /// <summary>Adds an empty directory.</summary>
    public void AddDirectory(string path) => EnsureDirectory(path.Trim('/'));

    /// <summary>Adds a symbolic link.</summary>
    public void AddLink(string path, string target) => Add(path, SymbolicLink | 0x1FF, Encoding.UTF8.GetBytes(target));

    /// <summary>Adds a character device.</summary>
    public void AddCharacterDevice(string path, int major, int minor) =>
        Add(path, CharacterDevice | 0x180, [], major, minor);

    /// <summary>Ends the archive.</summary>
    public void Complete() => WriteEntry("TRAILER!!!", 0, 0, [], 0, 0);

    private void Add(string path, int mode, byte[] content, int major = 0, int minor = 0)
    {
        path = path.Trim('/');
        EnsureDirectory(Path.GetDirectoryName(path) ?? string.Empty);
        WriteEntry(path, ++_lastInode, mode, content, major, minor);
    }

    private void EnsureDirectory(string path)
    {
        if (path.Length == 0 || !_directories.Add(path))
        {
            return;
        }

        EnsureDirectory(Path.GetDirectoryName(path) ?? string.Empty);
        WriteEntry(path, ++_lastInode, Directory | 0x1ED, [], 0, 0);
    }

    private void WriteEntry(string path, int inode, int mode, byte[] content, int major, int minor)
    {
        byte[] name = Encoding.UTF8.GetBytes(path);
        int[] fields =
        [
            inode, mode, 0, 0, 1, 0, content.Length, 0, 0, major, minor, name.Length + 1, 0,
        ];
        var header = new StringBuilder("070701");
        foreach (int field in fields)
        {
            header.Append(field.ToString("x8", CultureInfo.InvariantCulture));
        }

        output.Write(Encoding.ASCII.GetBytes(header.ToString()));
        output.Write(name);
        // The name ends with a zero; header and name, then the content, are padded to four bytes.
        output.Write(new byte[1 + Padding(header.Length + name.Length + 1)]);
        output.Write(content);
        output.Write(new byte[Padding(content.Length)]);
    }

    private static int Padding(int length) => -length & 3;
}
