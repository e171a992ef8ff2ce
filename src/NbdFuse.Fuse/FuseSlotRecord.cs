using System.Runtime.InteropServices;
using NbdFuse.Native.Fuse;

namespace NbdFuse.Fuse;

/// <summary>
/// The first 64 bytes of a request in its buffer: what a process that follows a dead one learns of it. The kernel writes them in
/// the system call that hands the request over, so that there is no moment in which a request is taken and not recorded; and no
/// answer overwrites them, until <see cref="Length"/> becomes zero: the buffer is free then, or its request is answered.
/// </summary>
/// <remarks>READ and WRITE begin with the same words behind the header; for other operations those mean something else.</remarks>
[StructLayout(LayoutKind.Explicit, Size = Bytes)]
public struct FuseSlotRecord
{
    /// <summary>Length of a record in bytes.</summary>
    public const int Bytes = 64;

    /// <summary>Bytes of a request's header (fuse_in_header): no request is shorter.</summary>
    public const int HeaderBytes = 40;

    /// <summary>Bit 63 of a number: the kernel has sent the request again (FUSE_UNIQUE_RESEND).</summary>
    public const ulong ResendBit = 1UL << 63;

    /// <summary>Bytes of the whole request; 0: nothing is recorded.</summary>
    [FieldOffset(0)]
    public uint Length;

    /// <summary>What is asked for.</summary>
    [FieldOffset(4)]
    public FuseOpcode Opcode;

    /// <summary>The kernel's number of the request.</summary>
    [FieldOffset(8)]
    public ulong Unique;

    /// <summary>Of a READ or WRITE: byte offset in the file.</summary>
    [FieldOffset(48)]
    public ulong Offset;

    /// <summary>Of a READ or WRITE: bytes.</summary>
    [FieldOffset(56)]
    public uint Size;

    /// <summary>Whether somebody waits for an answer, or did.</summary>
    public readonly bool HasReply =>
        Opcode is not (FuseOpcode.Forget or FuseOpcode.BatchForget or FuseOpcode.NotifyReply or FuseOpcode.Interrupt);
}
