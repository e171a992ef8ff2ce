namespace NbdFuse.Attach;

/// <summary>How a loop device is put over a file.</summary>
public sealed record LoopAttachOptions
{
    /// <summary>Path of the device to use, such as /dev/loop7; null for a free one.</summary>
    public string? Device { get; init; }

    /// <summary>Refuse writes.</summary>
    public bool ReadOnly { get; init; }

    /// <summary>Logical block size in bytes, a power of two from 512 to 4096; 0 for the kernel's 512.</summary>
    public int BlockSize { get; init; }

    /// <summary>
    /// Name kept in the device (lo_file_name), at most 63 bytes: what tells our device from one that took its number later.
    /// </summary>
    public required string Name { get; init; }
}
