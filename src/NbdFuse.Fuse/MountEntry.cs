namespace NbdFuse.Fuse;

/// <summary>One line of /proc/self/mountinfo (proc(5)).</summary>
/// <param name="Id">Number of the mount; stays when the mount is moved, and is used again after it has gone.</param>
/// <param name="Device">Device number of the file system, as "major:minor".</param>
/// <param name="MountPoint">Where, relative to the root of this process.</param>
/// <param name="Type">Type of the file system, with its subtype: "fuse.nbdfuse".</param>
/// <param name="Source">What was mounted: the fsname of a FUSE mount.</param>
internal sealed record MountEntry(int Id, string Device, string MountPoint, string Type, string Source)
{
    /// <summary>Whether it is a FUSE mount of this program, by what it calls itself unless told otherwise.</summary>
    internal bool IsOurs =>
        Type == "fuse." + FuseMountOptions.DefaultSubtype ||
        (IsFuse && Source == FuseMountOptions.DefaultFileSystemName);

    /// <summary>Whether it is a FUSE mount.</summary>
    internal bool IsFuse => Type == "fuse" || Type.StartsWith("fuse.", StringComparison.Ordinal);

    /// <summary>
    /// Whether both can be the same mount, wherever it is by now. Numbers are used again at once after an unmount, so a mount
    /// of the same kind that came later can look the same.
    /// </summary>
    /// <param name="other">The other one.</param>
    internal bool IsSameMount(MountEntry other) =>
        Id == other.Id && Device == other.Device && Type == other.Type && Source == other.Source;
}
