namespace NbdFuse.Native;

public static unsafe partial class Posix
{
    /// <summary><see cref="Umount2"/>: abort requests (MNT_FORCE).</summary>
    public const int UnmountForce = 1;

    /// <summary><see cref="Umount2"/>: out of the tree now, freed after its last user (MNT_DETACH).</summary>
    public const int UnmountDetach = 2;

    /// <summary><see cref="Umount2"/>: do not follow a symbolic link (UMOUNT_NOFOLLOW).</summary>
    public const int UnmountNoFollow = 8;

    /// <summary><see cref="Unshare"/>, <see cref="Setns"/>: mount namespace (CLONE_NEWNS).</summary>
    public const int CloneNewNamespace = 0x20000;

    /// <summary><see cref="Unshare"/>, <see cref="Setns"/>: user namespace (CLONE_NEWUSER). Fails in a process of several threads.</summary>
    public const int CloneNewUser = 0x10000000;

    /// <summary><see cref="Unshare"/>: own working directory, root and umask for the calling thread (CLONE_FS).</summary>
    public const int CloneFs = 0x200;

    /// <summary>mount(2).</summary>
    /// <param name="source">What to mount; null for none.</param>
    /// <param name="target">Where.</param>
    /// <param name="type">File system type; null for none.</param>
    /// <param name="flags">Flags.</param>
    /// <param name="data">Options of the file system, separated by commas; null for none.</param>
    public static int Mount(string? source, string target, string? type, MountFlags flags, string? data)
    {
        fixed (byte* sourceBytes = source is null ? null : CString(source))
        fixed (byte* targetBytes = CString(target))
        fixed (byte* typeBytes = type is null ? null : CString(type))
        fixed (byte* dataBytes = data is null ? null : CString(data))
        {
            return Result(Libc.mount(sourceBytes, targetBytes, typeBytes, (nuint)(uint)flags, dataBytes));
        }
    }

    /// <summary>umount2(2).</summary>
    /// <param name="target">The mount point.</param>
    /// <param name="flags">A combination of the Unmount constants.</param>
    public static int Umount2(string target, int flags)
    {
        fixed (byte* name = CString(target))
        {
            return Result(Libc.umount2(name, flags));
        }
    }

    /// <summary>unshare(2): acts on the calling thread.</summary>
    /// <param name="flags">A combination of the Clone constants.</param>
    public static int Unshare(int flags) => Result(Libc.unshare(flags));

    /// <summary>setns(2): acts on the calling thread.</summary>
    /// <param name="fd">A namespace's descriptor, from /proc/PID/ns.</param>
    /// <param name="type">The kind it must have, one of the Clone constants; 0 for any.</param>
    public static int Setns(int fd, int type) => Result(Libc.setns(fd, type));
}
