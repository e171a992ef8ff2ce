using System.Runtime.InteropServices;

namespace NbdFuse.Native.Fuse;

/// <summary>struct fuse_in_header, 40 bytes (linux/fuse.h). Starts every request.</summary>
[StructLayout(LayoutKind.Explicit, Size = 40)]
public struct FuseInHeader
{
    /// <summary>Bytes of the whole request, this header included.</summary>
    [FieldOffset(0)]
    public uint Length;

    /// <summary>What is asked for.</summary>
    [FieldOffset(4)]
    public FuseOpcode Opcode;

    /// <summary>Identifies the request; bit 0 marks an interrupt, bit 63 a request sent again.</summary>
    [FieldOffset(8)]
    public ulong Unique;

    /// <summary>Node; 1 is the root.</summary>
    [FieldOffset(16)]
    public ulong NodeId;

    /// <summary>Caller's user.</summary>
    [FieldOffset(24)]
    public uint Uid;

    /// <summary>Caller's group.</summary>
    [FieldOffset(28)]
    public uint Gid;

    /// <summary>Caller's process; 0 when not visible or for writeback.</summary>
    [FieldOffset(32)]
    public uint Pid;

    /// <summary>Length of the extensions in units of 8 bytes (7.38).</summary>
    [FieldOffset(36)]
    public ushort TotalExtensionLength;

    /// <summary>Unused.</summary>
    [FieldOffset(38)]
    public ushort Padding;
}
