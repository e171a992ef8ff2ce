using System.Runtime.InteropServices;

namespace NbdFuse.Native.Block;

/// <summary>struct loop_info64, 232 bytes (linux/loop.h). What a loop device stands on.</summary>
[StructLayout(LayoutKind.Explicit, Size = 232)]
public struct LoopInfo
{
    /// <summary>Device of the backing file.</summary>
    [FieldOffset(0)]
    public ulong Device;

    /// <summary>Inode of the backing file.</summary>
    [FieldOffset(8)]
    public ulong Inode;

    /// <summary>Device number when the backing file is one.</summary>
    [FieldOffset(16)]
    public ulong RDevice;

    /// <summary>Bytes skipped at the start.</summary>
    [FieldOffset(24)]
    public ulong Offset;

    /// <summary>Bytes used; 0 for all.</summary>
    [FieldOffset(32)]
    public ulong SizeLimit;

    /// <summary>Number of the loop device.</summary>
    [FieldOffset(40)]
    public uint Number;

    /// <summary>0.</summary>
    [FieldOffset(44)]
    public uint EncryptType;

    /// <summary>0.</summary>
    [FieldOffset(48)]
    public uint EncryptKeySize;

    /// <summary>Settings.</summary>
    [FieldOffset(52)]
    public LoopFlags Flags;

    /// <summary>Name shown for the backing file, NUL-terminated.</summary>
    [FieldOffset(56)]
    public LoopName FileName;

    /// <summary>Empty.</summary>
    [FieldOffset(120)]
    public LoopName CryptName;

    /// <summary>Empty.</summary>
    [FieldOffset(184)]
    public LoopKey EncryptKey;

    /// <summary>Unused.</summary>
    [FieldOffset(216)]
    public LoopInit Init;
}
