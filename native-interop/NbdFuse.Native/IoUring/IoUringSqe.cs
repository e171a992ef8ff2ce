using System.Runtime.InteropServices;

namespace NbdFuse.Native.IoUring;

/// <summary>struct io_uring_sqe, 64 bytes (linux/io_uring.h). One request; a command of URING_CMD lies at byte 48, 16 bytes of it, or 80 with 128-byte entries.</summary>
[StructLayout(LayoutKind.Explicit, Size = 64)]
public struct IoUringSqe
{
    /// <summary>What to do.</summary>
    [FieldOffset(0)]
    public IoUringOpcode Opcode;

    /// <summary>IOSQE_* bits; 0 here.</summary>
    [FieldOffset(1)]
    public byte Flags;

    /// <summary>Unused here.</summary>
    [FieldOffset(2)]
    public ushort IoPriority;

    /// <summary>The file.</summary>
    [FieldOffset(4)]
    public int Fd;

    /// <summary>Byte offset in the file.</summary>
    [FieldOffset(8)]
    public ulong Offset;

    /// <summary>Operation of URING_CMD, in place of the offset.</summary>
    [FieldOffset(8)]
    public uint CommandOperation;

    /// <summary>Address of the memory, or user data of the request to cancel.</summary>
    [FieldOffset(16)]
    public ulong Address;

    /// <summary>Bytes of memory.</summary>
    [FieldOffset(24)]
    public uint Length;

    /// <summary>Flags of the operation, such as events of POLL_ADD.</summary>
    [FieldOffset(28)]
    public uint OperationFlags;

    /// <summary>Comes back in the completion.</summary>
    [FieldOffset(32)]
    public ulong UserData;

    /// <summary>Unused here.</summary>
    [FieldOffset(40)]
    public ushort BufferIndex;

    /// <summary>Unused here.</summary>
    [FieldOffset(42)]
    public ushort Personality;

    /// <summary>Unused here.</summary>
    [FieldOffset(44)]
    public uint FileIndex;

    /// <summary>Unused here; where a command begins.</summary>
    [FieldOffset(48)]
    public ulong Address3;
}
