using System.Runtime.InteropServices;

namespace NbdFuse.Native.Fuse;

/// <summary>struct fuse_out_header, 16 bytes (linux/fuse.h). Starts every reply and notification.</summary>
[StructLayout(LayoutKind.Explicit, Size = 16)]
public struct FuseOutHeader
{
    /// <summary>Bytes of the whole reply, this header included.</summary>
    [FieldOffset(0)]
    public uint Length;

    /// <summary>0, a negative errno above -512, or a notification's code.</summary>
    [FieldOffset(4)]
    public int Error;

    /// <summary>The request's; 0 for a notification.</summary>
    [FieldOffset(8)]
    public ulong Unique;
}
