using System.Runtime.InteropServices;

namespace NbdFuse.Native;

public static unsafe partial class Posix
{
    /// <summary>The most descriptors of one message (the kernel's SCM_MAX_FD).</summary>
    public const int MaximumPassedDescriptors = 253;

    // struct cmsghdr: length (8 bytes), level, type; the data follows at once on 64-bit machines.
    private const int ControlHeaderSize = 16;

    /// <summary>Sends bytes together with descriptors over a unix socket (SCM_RIGHTS); retries EINTR.</summary>
    /// <param name="fd">The socket.</param>
    /// <param name="data">At least one byte: a stream carries no descriptors without data.</param>
    /// <param name="fds">Up to <see cref="MaximumPassedDescriptors"/>; they stay open here.</param>
    /// <returns>Bytes sent.</returns>
    public static int SendWithFds(int fd, ReadOnlySpan<byte> data, ReadOnlySpan<int> fds)
    {
        if (data.IsEmpty || fds.Length > MaximumPassedDescriptors)
        {
            return -Errno.EINVAL;
        }

        int dataLength = fds.Length * sizeof(int);
        byte* control = stackalloc byte[ControlHeaderSize + (MaximumPassedDescriptors * sizeof(int)) + 8];
        *(nuint*)control = (nuint)(ControlHeaderSize + dataLength);
        *(int*)(control + 8) = SocketConstants.SOL_SOCKET;
        *(int*)(control + 12) = SocketConstants.SCM_RIGHTS;
        MemoryMarshal.AsBytes(fds).CopyTo(new Span<byte>(control + ControlHeaderSize, dataLength));

        fixed (byte* p = data)
        {
            IoVector vector;
            vector.Base = p;
            vector.Length = (nuint)data.Length;
            MessageHeader message = default;
            message.Vectors = &vector;
            message.VectorCount = 1;
            if (!fds.IsEmpty)
            {
                message.Control = control;
                message.ControlLength = (nuint)Align8(ControlHeaderSize + dataLength);
            }

            int result;
            do
            {
                result = Result(Libc.sendmsg(fd, &message, SocketConstants.MSG_NOSIGNAL));
            }
            while (result == -Errno.EINTR);
            return result;
        }
    }

    /// <summary>
    /// Receives bytes and the descriptors that came with them, close-on-exec; retries EINTR. More descriptors than fit are
    /// closed, and the call then reports EMSGSIZE after closing all: a peer cannot leak descriptors into us.
    /// </summary>
    /// <param name="fd">The socket.</param>
    /// <param name="data">Where the bytes go, at least one.</param>
    /// <param name="fds">Where the descriptors go; the caller owns them.</param>
    /// <param name="fdCount">How many came.</param>
    /// <param name="flags">MSG_ constants.</param>
    /// <returns>Bytes received; 0 means that the peer has shut down.</returns>
    public static int RecvWithFds(int fd, Span<byte> data, Span<int> fds, out int fdCount, int flags = 0)
    {
        fdCount = 0;
        const int ControlSize = ControlHeaderSize + (MaximumPassedDescriptors * sizeof(int)) + 4;
        byte* control = stackalloc byte[ControlSize];
        bool overflow = false;
        int result;
        fixed (byte* p = data)
        {
            IoVector vector;
            vector.Base = p;
            vector.Length = (nuint)data.Length;
            MessageHeader message = default;
            do
            {
                message.Vectors = &vector;
                message.VectorCount = 1;
                message.Control = control;
                message.ControlLength = ControlSize;
                result = Result(Libc.recvmsg(fd, &message, flags | SocketConstants.MSG_CMSG_CLOEXEC));
            }
            while (result == -Errno.EINTR);

            if (result < 0)
            {
                return result;
            }

            overflow = (message.Flags & SocketConstants.MSG_CTRUNC) != 0;
            int at = 0;
            while (at + ControlHeaderSize <= (int)message.ControlLength)
            {
                int length = (int)*(nuint*)(control + at);
                if (length < ControlHeaderSize || at + length > (int)message.ControlLength)
                {
                    break;
                }

                if (*(int*)(control + at + 8) == SocketConstants.SOL_SOCKET && *(int*)(control + at + 12) == SocketConstants.SCM_RIGHTS)
                {
                    ReadOnlySpan<int> received = new(control + at + ControlHeaderSize, (length - ControlHeaderSize) / sizeof(int));
                    overflow |= Take(received, fds, ref fdCount);
                }

                at += Align8(length);
            }
        }

        if (overflow)
        {
            for (int i = 0; i < fdCount; i++)
            {
                Close(fds[i]);
            }

            fdCount = 0;
            return -Errno.EMSGSIZE;
        }

        return result;
    }

    private static bool Take(ReadOnlySpan<int> received, Span<int> fds, ref int fdCount)
    {
        bool overflow = false;
        foreach (int descriptor in received)
        {
            if (fdCount < fds.Length)
            {
                fds[fdCount++] = descriptor;
            }
            else
            {
                Close(descriptor);
                overflow = true;
            }
        }

        return overflow;
    }

    private static int Align8(int value) => (value + 7) & ~7;
}
