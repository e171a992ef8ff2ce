using NbdFuse.Native;

namespace NbdFuse.Cli;

/// <summary>One end of the socket between keeper and worker. Messages are whole or not at all, and descriptors travel with them.</summary>
/// <param name="socket">A SOCK_SEQPACKET socket; belongs to the channel.</param>
internal sealed class KeeperChannel(FileDescriptor socket) : IDisposable
{
    /// <summary>Most bytes of a message: a path, and some.</summary>
    public const int MaximumMessage = 16 * 1024;

    private const int MaximumDescriptors = 8;

    private readonly byte[] _buffer = new byte[MaximumMessage];
    private readonly int[] _descriptors = new int[MaximumDescriptors];

    /// <summary>Number of the socket, for polling.</summary>
    public int Value => socket.Value;

    /// <summary>Sends a message. Any thread.</summary>
    /// <param name="kind">What it is.</param>
    /// <param name="body">What follows.</param>
    /// <param name="descriptors">Descriptors that travel along; they stay the caller's.</param>
    /// <returns>0, or a negative errno.</returns>
    public int Send(KeeperMessage kind, ReadOnlySpan<byte> body = default, ReadOnlySpan<int> descriptors = default)
    {
        if (body.Length >= MaximumMessage)
        {
            return -Errno.EMSGSIZE;
        }

        Span<byte> message = new byte[body.Length + 1];
        message[0] = (byte)kind;
        body.CopyTo(message[1..]);
        int result = Posix.SendWithFds(socket.Value, message, descriptors);
        return result < 0 ? result : 0;
    }

    /// <summary>Receives a message. One thread at a time.</summary>
    /// <param name="kind">What it is.</param>
    /// <param name="body">What follows; the caller's.</param>
    /// <param name="descriptors">Descriptors that came along; the caller's.</param>
    /// <param name="wait">Whether to wait for one.</param>
    /// <returns>1; 0 when the other end is closed; or a negative errno, EAGAIN when there is none at present.</returns>
    public int Receive(out KeeperMessage kind, out byte[] body, out FileDescriptor[] descriptors, bool wait)
    {
        kind = default;
        body = [];
        descriptors = [];
        int length = Posix.RecvWithFds(
            socket.Value, _buffer, _descriptors, out int count, wait ? 0 : SocketConstants.MSG_DONTWAIT);
        if (length <= 0)
        {
            return length == -Errno.ECONNRESET ? 0 : length;
        }

        kind = (KeeperMessage)_buffer[0];
        body = _buffer[1..length];
        descriptors = [.. _descriptors.Take(count).Select(FileDescriptor.Own)];
        return 1;
    }

    /// <inheritdoc/>
    public void Dispose() => socket.Dispose();
}
