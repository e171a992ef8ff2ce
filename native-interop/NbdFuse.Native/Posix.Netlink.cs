namespace NbdFuse.Native;

public static unsafe partial class Posix
{
    /// <summary>recvfrom(2) without waiting, on a netlink socket; retries EINTR.</summary>
    /// <param name="fd">The socket.</param>
    /// <param name="buffer">Where the datagram goes.</param>
    /// <param name="sender">Port of the sender; 0 is the kernel.</param>
    /// <returns>The true length of the datagram, which may be more than the buffer holds.</returns>
    public static int ReceiveNetlink(int fd, Span<byte> buffer, out uint sender)
    {
        // struct sockaddr_nl: family, padding, port, groups.
        const int AddressBytes = 12;
        uint* address = stackalloc uint[AddressBytes / sizeof(uint)];
        uint length = AddressBytes;
        int result;
        fixed (byte* p = buffer)
        {
            // SAFETY: both buffers outlive the call, and their lengths are passed.
            do
            {
                result = Result(Libc.recvfrom(
                    fd, p, (nuint)buffer.Length, SocketConstants.MSG_DONTWAIT | SocketConstants.MSG_TRUNC, address, &length));
            }
            while (result == -Errno.EINTR);
        }

        // An address of another length is nobody's: not the kernel's.
        sender = length == AddressBytes ? address[1] : uint.MaxValue;
        return result;
    }

    /// <summary>Blocks every signal that can be blocked on the calling thread: SIGKILL and SIGSTOP cannot.</summary>
    /// <returns>0 or a negative errno.</returns>
    public static int BlockSignals()
    {
        // sigset_t of the C library: 1024 bits.
        const int SetBytes = 128;
        const int SigSetMask = 2;
        byte* set = stackalloc byte[SetBytes];
        new Span<byte>(set, SetBytes).Fill(0xFF);

        // SAFETY: the set is on this stack and as long as the C library wants it. The call returns its error, positive.
        return -Libc.pthread_sigmask(SigSetMask, set, null);
    }
}
