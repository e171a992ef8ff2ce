using NbdFuse.Native;

namespace NbdFuse.Ublk;

/// <summary>The device nodes of ublk: where they are, and how to get at one that nobody has made.</summary>
internal static class UblkNodes
{
    private const int CharacterType = 0x2000;
    private const int ModeOwner = 0x180;

    /// <summary>The disk.</summary>
    /// <param name="directory">Where device nodes are.</param>
    /// <param name="id">Number of the device.</param>
    internal static string Disk(string directory, uint id) => Path.Combine(directory, $"ublkb{id}");

    /// <summary>The server's end.</summary>
    /// <param name="directory">Where device nodes are.</param>
    /// <param name="id">Number of the device.</param>
    internal static string Character(string directory, uint id) => Path.Combine(directory, $"ublkc{id}");

    /// <summary>Opens the server's end of a device.</summary>
    /// <param name="directory">Where device nodes are.</param>
    /// <param name="id">Number of the device.</param>
    /// <param name="major">Major number of the node, 0 when unknown.</param>
    /// <param name="minor">Minor number of the node.</param>
    /// <returns>A descriptor, or a negative errno: EBUSY while another process has it open.</returns>
    internal static int OpenCharacter(string directory, uint id, uint major, uint minor)
    {
        string path = Character(directory, id);
        int fd = Posix.Open(path, OpenFlags.ReadWrite);
        if (fd != -Errno.ENOENT || major == 0)
        {
            return fd;
        }

        // No devtmpfs, as in a container: a node of our own, where nobody else can put one, for as long as it takes to open it.
        DirectoryInfo place = Directory.CreateTempSubdirectory("nbdfuse-ublk-");
        string own = Path.Combine(place.FullName, "node");
        try
        {
            int made = Posix.Mknod(own, CharacterType | ModeOwner, FileStatus.Encode(major, minor));
            return made < 0 ? made : Posix.Open(own, OpenFlags.ReadWrite);
        }
        finally
        {
            place.Delete(recursive: true);
        }
    }
}
