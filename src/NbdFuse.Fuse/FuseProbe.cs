using System.Runtime.InteropServices;
using NbdFuse.Native;
using NbdFuse.Native.Fuse;

namespace NbdFuse.Fuse;

/// <summary>
/// Asks the kernel whether a request that a dead process had taken still waits for its answer, where the kernel cannot be asked to
/// send it again (<see cref="FuseResend"/>, Linux 6.9). The question is an answer to an INTERRUPT of the request, which nobody has
/// sent: the kernel looks for the request, and then does nothing.
/// </summary>
/// <remarks>
/// Numbers with bit 0 belong to interrupts since Linux 4.20; before, the question would be the answer of somebody else. After a
/// resend no request waits for an answer: then it is "no" for all of them.
/// </remarks>
public static class FuseProbe
{
    // FUSE_INT_REQ_BIT.
    private const ulong InterruptBit = 1;

    /// <summary>Asks.</summary>
    /// <param name="device">/dev/fuse of the connection: the one by which the request was read.</param>
    /// <param name="unique">The kernel's number of the request, as it was read.</param>
    /// <returns>Whether it waits for its answer; false when it was answered, or when the connection has gone.</returns>
    public static bool IsOpen(FileDescriptor device, ulong unique)
    {
        Span<byte> message = stackalloc byte[FuseBuffers.ReplyHeader];
        FuseOutHeader header = new() { Length = FuseBuffers.ReplyHeader, Unique = unique | InterruptBit };
        MemoryMarshal.Write(message, in header);
        return Posix.Write(device.Value, message) == message.Length;
    }
}
