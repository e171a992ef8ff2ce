namespace NbdFuse.Attach;

/// <summary>How a device is used.</summary>
public enum DeviceHolderKind
{
    /// <summary>A file system on it is mounted.</summary>
    Mount = 0,

    /// <summary>It is swapped to.</summary>
    Swap = 1,

    /// <summary>Another block device stands on it (dm, md, bcache).</summary>
    Device = 2,

    /// <summary>A process has it open.</summary>
    Process = 3,
}
