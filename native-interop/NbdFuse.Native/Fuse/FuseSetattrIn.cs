using System.Runtime.InteropServices;

namespace NbdFuse.Native.Fuse;

/// <summary>struct fuse_setattr_in, 88 bytes (linux/fuse.h). SETATTR request.</summary>
[StructLayout(LayoutKind.Explicit, Size = 88)]
public struct FuseSetattrIn
{
    /// <summary>Which fields count.</summary>
    [FieldOffset(0)]
    public FuseSetattrValid Valid;

    /// <summary>Unused.</summary>
    [FieldOffset(4)]
    public uint Padding;

    /// <summary>File handle.</summary>
    [FieldOffset(8)]
    public ulong Handle;

    /// <summary>Bytes.</summary>
    [FieldOffset(16)]
    public ulong Size;

    /// <summary>Lock owner.</summary>
    [FieldOffset(24)]
    public ulong LockOwner;

    /// <summary>Seconds of the Unix epoch.</summary>
    [FieldOffset(32)]
    public ulong AccessTime;

    /// <summary>Seconds of the Unix epoch.</summary>
    [FieldOffset(40)]
    public ulong ModifyTime;

    /// <summary>Seconds of the Unix epoch.</summary>
    [FieldOffset(48)]
    public ulong ChangeTime;

    /// <summary>ns, below 10^9.</summary>
    [FieldOffset(56)]
    public uint AccessTimeNs;

    /// <summary>ns, below 10^9.</summary>
    [FieldOffset(60)]
    public uint ModifyTimeNs;

    /// <summary>ns, below 10^9.</summary>
    [FieldOffset(64)]
    public uint ChangeTimeNs;

    /// <summary>Type and permission bits.</summary>
    [FieldOffset(68)]
    public uint Mode;

    /// <summary>Unused.</summary>
    [FieldOffset(72)]
    public uint Unused4;

    /// <summary>Owner.</summary>
    [FieldOffset(76)]
    public uint Uid;

    /// <summary>Group.</summary>
    [FieldOffset(80)]
    public uint Gid;

    /// <summary>Unused.</summary>
    [FieldOffset(84)]
    public uint Unused5;
}
