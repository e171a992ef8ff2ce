namespace NbdFuse.Native.Block;

/// <summary>Settings of a loop device (LO_FLAGS_, linux/loop.h).</summary>
[Flags]
public enum LoopFlags : uint
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary>Read only; forced when a descriptor lacks write mode.</summary>
    ReadOnly = 1,

    /// <summary>The device lets go of the file when its last user closes it.</summary>
    AutoClear = 4,

    /// <summary>The kernel reads the partition table.</summary>
    PartitionScan = 8,

    /// <summary>The backing file is used with direct I/O; silently dropped when it cannot.</summary>
    DirectIo = 16,
}
