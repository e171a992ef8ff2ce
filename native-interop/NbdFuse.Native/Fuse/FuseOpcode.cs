namespace NbdFuse.Native.Fuse;

/// <summary>Requests of the kernel (enum fuse_opcode, linux/fuse.h).</summary>
public enum FuseOpcode : uint
{
    /// <summary>Name to node.</summary>
    Lookup = 1,

    /// <summary>Drop references of a node; no reply.</summary>
    Forget = 2,

    /// <summary>Attributes.</summary>
    Getattr = 3,

    /// <summary>Change attributes, truncate.</summary>
    Setattr = 4,

    /// <summary>Target of a symbolic link.</summary>
    Readlink = 5,

    /// <summary>Make a symbolic link.</summary>
    Symlink = 6,

    /// <summary>Make a node.</summary>
    Mknod = 8,

    /// <summary>Make a directory.</summary>
    Mkdir = 9,

    /// <summary>Remove a name.</summary>
    Unlink = 10,

    /// <summary>Remove a directory.</summary>
    Rmdir = 11,

    /// <summary>Rename.</summary>
    Rename = 12,

    /// <summary>Make a hard link.</summary>
    Link = 13,

    /// <summary>Open a file.</summary>
    Open = 14,

    /// <summary>Read.</summary>
    Read = 15,

    /// <summary>Write.</summary>
    Write = 16,

    /// <summary>Space.</summary>
    Statfs = 17,

    /// <summary>Last close of an open file.</summary>
    Release = 18,

    /// <summary>Make durable.</summary>
    Fsync = 20,

    /// <summary>Set an extended attribute.</summary>
    Setxattr = 21,

    /// <summary>Get an extended attribute.</summary>
    Getxattr = 22,

    /// <summary>List extended attributes.</summary>
    Listxattr = 23,

    /// <summary>Remove an extended attribute.</summary>
    Removexattr = 24,

    /// <summary>Close of one descriptor.</summary>
    Flush = 25,

    /// <summary>Negotiation.</summary>
    Init = 26,

    /// <summary>Open a directory.</summary>
    Opendir = 27,

    /// <summary>List a directory.</summary>
    Readdir = 28,

    /// <summary>Last close of an open directory.</summary>
    Releasedir = 29,

    /// <summary>Make a directory durable.</summary>
    Fsyncdir = 30,

    /// <summary>Test a lock.</summary>
    Getlk = 31,

    /// <summary>Take a lock.</summary>
    Setlk = 32,

    /// <summary>Wait for a lock.</summary>
    Setlkw = 33,

    /// <summary>Check permissions.</summary>
    Access = 34,

    /// <summary>Make and open a file.</summary>
    Create = 35,

    /// <summary>A caller gave up.</summary>
    Interrupt = 36,

    /// <summary>Block mapping.</summary>
    Bmap = 37,

    /// <summary>Unmount (fuseblk and virtiofs only).</summary>
    Destroy = 38,

    /// <summary>ioctl(2).</summary>
    Ioctl = 39,

    /// <summary>poll(2).</summary>
    Poll = 40,

    /// <summary>Answer to a retrieve notification.</summary>
    NotifyReply = 41,

    /// <summary>Several FORGETs; no reply.</summary>
    BatchForget = 42,

    /// <summary>Allocate, punch, zero.</summary>
    Fallocate = 43,

    /// <summary>List with attributes.</summary>
    Readdirplus = 44,

    /// <summary>Rename with flags.</summary>
    Rename2 = 45,

    /// <summary>Find data or holes.</summary>
    Lseek = 46,

    /// <summary>Copy inside the server.</summary>
    CopyFileRange = 47,

    /// <summary>DAX mapping.</summary>
    SetupMapping = 48,

    /// <summary>DAX unmapping.</summary>
    RemoveMapping = 49,

    /// <summary>Make the file system durable.</summary>
    Syncfs = 50,

    /// <summary>Make an unnamed file.</summary>
    Tmpfile = 51,

    /// <summary>statx(2).</summary>
    Statx = 52,

    /// <summary>Copy with a 64-bit result.</summary>
    CopyFileRange64 = 53,
}
