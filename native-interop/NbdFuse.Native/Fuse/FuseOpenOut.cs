using System.Runtime.InteropServices;

namespace NbdFuse.Native.Fuse;

/// <summary>struct fuse_open_out, 16 bytes (linux/fuse.h). OPEN and OPENDIR reply.</summary>
[StructLayout(LayoutKind.Explicit, Size = 16)]
public struct FuseOpenOut
{
    /// <summary>File handle, ours to choose.</summary>
    [FieldOffset(0)]
    public ulong Handle;

    /// <summary>How the kernel shall treat the open file.</summary>
    [FieldOffset(8)]
    public FuseOpenOutFlags OpenFlags;

    /// <summary>Backing file for passthrough.</summary>
    [FieldOffset(12)]
    public int BackingId;
}
