using NbdFuse.Native;

namespace NbdFuse.Client;

/// <summary>
/// Blocking reads and writes on a non-blocking socket for one handshake, under one deadline and one limit of bytes. It
/// never reads ahead: what follows the last reply belongs to the transmission phase. Not thread-safe.
/// </summary>
internal sealed class HandshakeChannel : IDisposable
{
    private FileDescriptor _socket;
    private readonly DeadlineWait _wait;
    private bool _referenced;
    private int _fd;
    private Func<NbdConnectException?>? _explain;
    private TimeSpan _timeout;
    private int _byteLimit;
    private int _bytesLeft;
    private byte[] _payload = [];

    /// <summary>Starts the clock. The socket stays the caller's, and must be non-blocking.</summary>
    public HandshakeChannel(FileDescriptor socket, TimeSpan timeout, int maxBytes, CancellationToken cancellationToken)
    {
        _socket = socket;

        // Held so that a dispose elsewhere cannot close the descriptor and let its number be reused under a read.
        socket.DangerousAddRef(ref _referenced);
        _fd = socket.Value;
        _timeout = timeout;
        _byteLimit = _bytesLeft = maxBytes;
        _wait = new DeadlineWait(timeout, cancellationToken);
    }

    /// <summary>What is being waited for, as a clause for messages: "the greeting".</summary>
    public string Awaited { get; set; } = "the greeting";

    /// <summary>The socket.</summary>
    public FileDescriptor Socket => _socket;

    /// <summary>Goes on with another socket, under the same deadline and limit.</summary>
    /// <param name="socket">The socket; it stays the caller's.</param>
    /// <param name="explain">What is known of the reason when it breaks.</param>
    public void Continue(FileDescriptor socket, Func<NbdConnectException?> explain)
    {
        bool referenced = false;
        socket.DangerousAddRef(ref referenced);
        Release();
        _socket = socket;
        _referenced = referenced;
        _fd = socket.Value;
        _explain = explain;
    }

    /// <summary>Waits until the socket is ready.</summary>
    /// <exception cref="NbdConnectException">The deadline passed first.</exception>
    public void WaitFor(PollEvents events)
    {
        if (!_wait.WaitFor(_fd, events))
        {
            throw TimedOut();
        }
    }

    /// <summary>Gives the next part of the conversation its own deadline and limit.</summary>
    public void Restart(TimeSpan timeout, int maxBytes)
    {
        _timeout = timeout;
        _byteLimit = _bytesLeft = maxBytes;
        _wait.Restart(timeout);
    }

    /// <summary>Reads at least one byte.</summary>
    /// <returns>Bytes read, 0 only when the server closed.</returns>
    public int ReadSome(Span<byte> destination)
    {
        if (_bytesLeft < destination.Length)
        {
            throw new NbdConnectException(
                NbdConnectFailure.LimitExceeded,
                $"the server sent {_byteLimit} bytes and has not finished with {Awaited}: given up, that is no sane server");
        }

        while (true)
        {
            int result = Posix.Recv(_fd, destination);
            if (result >= 0)
            {
                _bytesLeft -= result;
                return result;
            }

            if (result != -Errno.EAGAIN)
            {
                throw Broken(result);
            }

            WaitFor(PollEvents.In);
        }
    }

    /// <summary>Fills the span.</summary>
    public void ReadExactly(Span<byte> destination)
    {
        while (!destination.IsEmpty)
        {
            int read = ReadSome(destination);
            if (read == 0)
            {
                throw Closed();
            }

            destination = destination[read..];
        }
    }

    /// <summary>
    /// Reads the data of a reply into the channel's own buffer. The caller has checked the length against a limit.
    /// </summary>
    /// <returns>The data; valid until the next call.</returns>
    public ReadOnlyMemory<byte> ReadPayload(int length)
    {
        if (_payload.Length < length)
        {
            _payload = new byte[Math.Max(length, 512)];
        }

        ReadExactly(_payload.AsSpan(0, length));
        return _payload.AsMemory(0, length);
    }

    /// <summary>Writes all bytes.</summary>
    public void Write(ReadOnlySpan<byte> source)
    {
        while (!source.IsEmpty)
        {
            int result = Posix.Send(_fd, source);
            if (result >= 0)
            {
                source = source[result..];
            }
            else if (result != -Errno.EAGAIN)
            {
                throw Broken(result);
            }
            else
            {
                WaitFor(PollEvents.Out);
            }
        }
    }

    /// <summary>The error for a server that closed the connection.</summary>
    public NbdConnectException Closed() => _explain?.Invoke() ?? new(
        NbdConnectFailure.ClosedByServer,
        $"the server closed the connection when {Awaited} was due; see the server's log");

    /// <inheritdoc/>
    public void Dispose()
    {
        _wait.Dispose();
        Release();
    }

    private void Release()
    {
        if (_referenced)
        {
            _referenced = false;
            _socket.DangerousRelease();
        }
    }

    private NbdConnectException Broken(int error) => _explain?.Invoke() ?? new(
        NbdConnectFailure.ClosedByServer,
        $"the connection broke when {Awaited} was due: {Errno.Describe(error)}; see the server's log");

    private NbdConnectException TimedOut() => new(
        NbdConnectFailure.HandshakeTimeout,
        $"the server did not finish the handshake within {_timeout.TotalSeconds:0.###} s, {Awaited} is missing; "
        + "is it an NBD server, and is it running?");
}
