using System.Runtime.InteropServices;
using NbdFuse.Native;
using NbdFuse.Native.Fuse;

namespace NbdFuse.Fuse;

/// <summary>Tells the kernel what it did not ask for: that the size of a file is another one.</summary>
/// <remarks>
/// THREADING: any thread that serves nothing. The kernel may wait for locks which it holds while it waits for an answer of ours; no
/// data of the file is touched, so that a thread which waits here waits for nothing that dies with this process.
/// </remarks>
public static class FuseNotification
{
    /// <summary>Forgets the attributes of a file: whoever looks next asks for them (FUSE_NOTIFY_INVAL_INODE).</summary>
    /// <param name="device">/dev/fuse of the connection.</param>
    /// <param name="node">Number of the file.</param>
    /// <returns>0, or a negative errno: ENOENT when the kernel does not know the file at present, which then asks anyway.</returns>
    public static int ForgetAttributes(FileDescriptor device, ulong node)
    {
        // A negative offset leaves the pages alone. They go when the kernel sees the new size.
        FuseNotifyInvalInodeOut body = new() { Inode = node, Offset = -1 };
        Span<byte> message = stackalloc byte[FuseBuffers.ReplyHeader + 24];
        MemoryMarshal.Write(message[FuseBuffers.ReplyHeader..], in body);
        return Send(device, message, FuseNotifyCode.InvalidateInode);
    }

    /// <summary>
    /// Raises the size of a file that nobody will look at: a loop device has it open, and before Linux 6.18 asks only for what the
    /// kernel believes already. Does it by storing the last byte (FUSE_NOTIFY_STORE); its page does not become valid by that, and is
    /// read anew by whoever wants it.
    /// </summary>
    /// <param name="device">/dev/fuse of the connection.</param>
    /// <param name="node">Number of the file.</param>
    /// <param name="size">The new size in bytes.</param>
    /// <returns>0, or a negative errno; EINVAL for a size of which the last byte is a page of its own.</returns>
    public static int RaiseSize(FileDescriptor device, ulong node, long size)
    {
        if (size <= 0 || (size - 1) % Posix.GetPageSize() == 0)
        {
            // It would make the page valid, with a byte that we do not know.
            return -Errno.EINVAL;
        }

        FuseNotifyStoreOut body = new() { NodeId = node, Offset = (ulong)(size - 1), Size = 1 };
        Span<byte> message = stackalloc byte[FuseBuffers.ReplyHeader + 24 + 1];
        message.Clear();
        MemoryMarshal.Write(message[FuseBuffers.ReplyHeader..], in body);
        return Send(device, message, FuseNotifyCode.Store);
    }

    private static int Send(FileDescriptor device, Span<byte> message, FuseNotifyCode code)
    {
        FuseOutHeader header = new() { Length = (uint)message.Length, Error = (int)code };
        MemoryMarshal.Write(message, in header);
        int result = Posix.Write(device.Value, message);
        return result < 0 ? result : 0;
    }
}
