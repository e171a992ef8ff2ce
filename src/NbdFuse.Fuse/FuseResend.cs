using System.Runtime.InteropServices;
using NbdFuse.Native;
using NbdFuse.Native.Fuse;

namespace NbdFuse.Fuse;

/// <summary>
/// Asks the kernel to send again what a dead process had taken and not answered (FUSE_NOTIFY_RESEND, Linux 6.9): every such
/// request of the connection is read once more, with bit 63 in its number.
/// </summary>
public static class FuseResend
{
    /// <summary>
    /// Asks. Only when the process is dead with all of its threads, and nothing that it sent can act any more: what it had taken is
    /// executed a second time. And before anybody else reads.
    /// </summary>
    /// <param name="device">/dev/fuse of the connection.</param>
    /// <returns>0, or a negative errno: EINVAL from a kernel that is too old, ENODEV or EPERM when the connection has gone.</returns>
    public static int Ask(FileDescriptor device)
    {
        Span<byte> message = stackalloc byte[FuseBuffers.ReplyHeader];
        FuseOutHeader header = new() { Length = FuseBuffers.ReplyHeader, Error = (int)FuseNotifyCode.Resend };
        MemoryMarshal.Write(message, in header);
        int result = Posix.Write(device.Value, message);
        return result < 0 ? result : 0;
    }
}
