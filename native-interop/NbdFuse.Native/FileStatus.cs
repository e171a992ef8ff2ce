namespace NbdFuse.Native;

/// <summary>What statx(2) says about a file; the call itself has one layout on every architecture, stat(2) has not.</summary>
/// <param name="Mode">Type and permission bits (S_IF*).</param>
/// <param name="Uid">Owner.</param>
/// <param name="Gid">Group.</param>
/// <param name="Links">Number of hard links.</param>
/// <param name="Size">Size in bytes.</param>
/// <param name="Blocks">Allocated space in units of 512 bytes.</param>
/// <param name="BlockSize">Preferred I/O size in bytes.</param>
/// <param name="Inode">Inode number.</param>
/// <param name="DeviceMajor">Major number of the file system's device.</param>
/// <param name="DeviceMinor">Minor number of the file system's device.</param>
/// <param name="RDeviceMajor">Major number of the device that this node stands for.</param>
/// <param name="RDeviceMinor">Minor number of the device that this node stands for.</param>
/// <param name="ModifiedSeconds">Last modification, seconds of the Unix epoch.</param>
/// <param name="ModifiedNanoseconds">Its fraction, 0 to 999999999 ns.</param>
public readonly record struct FileStatus(
    uint Mode,
    uint Uid,
    uint Gid,
    uint Links,
    long Size,
    long Blocks,
    uint BlockSize,
    ulong Inode,
    uint DeviceMajor,
    uint DeviceMinor,
    uint RDeviceMajor,
    uint RDeviceMinor,
    long ModifiedSeconds,
    uint ModifiedNanoseconds)
{
    /// <summary>The bits of <see cref="Mode"/> that hold the type (S_IFMT).</summary>
    public const uint TypeMask = 0xF000;

    /// <summary>S_IFREG.</summary>
    public const uint TypeRegular = 0x8000;

    /// <summary>S_IFDIR.</summary>
    public const uint TypeDirectory = 0x4000;

    /// <summary>S_IFBLK.</summary>
    public const uint TypeBlock = 0x6000;

    /// <summary>S_IFCHR.</summary>
    public const uint TypeCharacter = 0x2000;

    /// <summary>S_IFIFO.</summary>
    public const uint TypeFifo = 0x1000;

    /// <summary>S_IFSOCK.</summary>
    public const uint TypeSocket = 0xC000;

    /// <summary>S_IFLNK.</summary>
    public const uint TypeLink = 0xA000;

    /// <summary>Whether this is a regular file.</summary>
    public bool IsRegular => (Mode & TypeMask) == TypeRegular;

    /// <summary>Whether this is a directory.</summary>
    public bool IsDirectory => (Mode & TypeMask) == TypeDirectory;

    /// <summary>Whether this is a block device.</summary>
    public bool IsBlockDevice => (Mode & TypeMask) == TypeBlock;

    /// <summary>Whether this is a socket.</summary>
    public bool IsSocket => (Mode & TypeMask) == TypeSocket;

    /// <summary>The file system's device number in the C library's encoding (makedev).</summary>
    public ulong Device => Encode(DeviceMajor, DeviceMinor);

    /// <summary>The node's own device number in the C library's encoding (makedev).</summary>
    public ulong RDevice => Encode(RDeviceMajor, RDeviceMinor);

    /// <summary>A device number in the C library's encoding (makedev).</summary>
    /// <param name="major">Major number.</param>
    /// <param name="minor">Minor number.</param>
    public static ulong Encode(uint major, uint minor) =>
        ((ulong)(major & 0xFFFFF000) << 32) | ((ulong)(major & 0xFFF) << 8) |
        ((ulong)(minor & 0xFFFFFF00) << 12) | (minor & 0xFF);
}
