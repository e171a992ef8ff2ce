using NbdFuse.Block;
using NbdFuse.Native;
using NbdFuse.Protocol;

namespace NbdFuse.Client.Transmission;

/// <summary>
/// One connection in the transmission phase: requests out, replies in.
/// </summary>
/// <remarks>
/// THREADING: everything runs on the thread of the event loop that owns the connection (the export's loop, or a
/// mover's). Nothing is locked, blocked or allocated per request.
/// ORDER OF STEPS: a request enters the in-flight table before its bytes are queued, and leaves it exactly once: by its
/// reply, by withdrawal before it was sent, or by <see cref="Fail(NbdException)"/>. The first reason to fail wins.
/// MEMORY: headers are staged in native memory, one place per slot, until the socket took them. Payloads are sent from
/// and received into the buffers of the requests, which stay valid until the request has ended. Whatever the server
/// says, reply bytes go only into the receive buffer or into the buffer of a request that is in flight.
/// </remarks>
internal sealed partial class NbdConnection : IEventHandler, IDisposable
{
    /// <summary>
    /// How a request ends that the connection could not finish, in place of an errno: its owner decides whether it is an
    /// error, or sent again. <see cref="BlockRequestMarks.Sent"/> tells whether the server may have seen it.
    /// </summary>
    public const int Lost = -1;

    private const int TableCapacity = 1024;
    private const int ReceiveBufferBytes = 256 * 1024;
    private readonly EventLoop _loop;
    private readonly FileDescriptor _socket;
    private readonly int _fd;
    private readonly bool _structured;
    private readonly bool _extended;
    private readonly uint? _statusContext;
    private readonly int _requestHeaderBytes;
    private readonly int _dataHeaderBytes;
    private readonly bool _canSplice;
    private readonly IConnectionOwner _owner;
    private readonly Func<bool>? _isLineCutOff;
    private readonly InFlightTable _table = new(TableCapacity);
    private BlockRequestList _backlog;
    private EpollEvents _interest = EpollEvents.In;
    private NbdException? _failure;
    private bool _shutdownSeen;

    /// <summary>Makes the connection; <see cref="Start"/> joins it to its loop.</summary>
    /// <param name="loop">The loop that owns it.</param>
    /// <param name="socket">Socket after the handshake; owned from now on. It is made non-blocking.</param>
    /// <param name="form">What was negotiated on it.</param>
    /// <param name="splice">Large payloads may go by splice to the front end.</param>
    /// <param name="owner">Hears of ended requests.</param>
    /// <param name="isLineCutOff">See <see cref="NegotiatedSocket.IsCutOff"/>.</param>
    public NbdConnection(
        EventLoop loop, FileDescriptor socket, WireForm form, bool splice, IConnectionOwner owner, Func<bool>? isLineCutOff = null)
    {
        _isLineCutOff = isLineCutOff;
        _loop = loop;
        _socket = socket;
        _fd = socket.Value;
        _structured = form.Structured;
        _extended = form.Extended;
        _statusContext = form.StatusContext;
        _requestHeaderBytes = _extended ? NbdExtendedRequestHeader.Size : NbdRequestHeader.Size;
        _dataHeaderBytes = _extended ? NbdExtendedReplyHeader.Size + NbdOffsetDataChunk.Size
            : _structured ? NbdStructuredReplyHeader.Size + NbdOffsetDataChunk.Size : NbdSimpleReplyHeader.Size;
        _canSplice = splice;
        _owner = owner;
        _headers = NativeBuffer.Allocate(TableCapacity * HeaderStride);
        _receive = NativeBuffer.Allocate(ReceiveBufferBytes);
    }

    /// <summary>Requests that this connection holds.</summary>
    public int InFlight => _table.Count;

    /// <summary>The reason for which the connection is dead, or null.</summary>
    public NbdException? Failure => _failure;

    /// <summary>Nothing new may be sent: the connection is dead or the server is going away.</summary>
    public bool IsClosed => _failure is not null || _shutdownSeen;

    /// <summary>The reason for <see cref="Failure"/> was that the server had closed its side: it acts on nothing more.</summary>
    public bool IsPeerClosed { get; private set; }

    /// <summary>
    /// The reason for <see cref="Failure"/> was an error of our socket, as after a network that was cut: what the server does
    /// with its end cannot be learned any more. A socket that has told its error once reads as if the peer had closed.
    /// </summary>
    public bool IsCutOff { get; private set; }

    /// <summary>
    /// A change or a FLUSH was with the server when the connection failed: the server may still execute it, at any later time. A
    /// FLUSH that fails then makes the server forget, and the next one succeed.
    /// </summary>
    public bool HasGhosts { get; private set; }

    /// <summary>The socket; it stays open until the connection is disposed.</summary>
    public int Descriptor => _fd;

    /// <summary>Requests that were sent over this connection since it was made.</summary>
    public long Requests { get; private set; }

    /// <summary>Bytes of READs that ended well.</summary>
    public long ReadBytes { get; private set; }

    /// <summary>Bytes of WRITEs that ended well.</summary>
    public long WrittenBytes { get; private set; }

    /// <summary>Joins the loop. On the loop's thread, or before it runs.</summary>
    public void Start()
    {
        _ = Posix.SetNonBlocking(_fd, true);
        PosixException.Check(_loop.Add(_fd, _interest, this), "watch the connection to the server");
    }

    /// <summary>Takes a request. It goes out with the next <see cref="Flush"/>.</summary>
    /// <param name="request">A request that fits what the export advertised.</param>
    public void Submit(BlockRequest request)
    {
        if (IsClosed)
        {
            _owner.OnRequestEnded(request, _shutdownSeen ? BlockErrno.ESHUTDOWN : Lost);
            return;
        }

        if (request.Operation == BlockOperation.BlockStatus && _statusContext is null)
        {
            // Illegal without a context (proto.md, NBD_CMD_BLOCK_STATUS): the server that came back is another one.
            _owner.OnRequestEnded(request, BlockErrno.EOPNOTSUPP);
            return;
        }

        if (!_extended && request.Length > uint.MaxValue && request.Operation != BlockOperation.BlockStatus)
        {
            // An earlier server took it in one piece. It is cut where such an error of a server is, too.
            _owner.OnRequestEnded(request, BlockErrno.EOVERFLOW);
            return;
        }

        if (!_table.TryAdd(request, out int index))
        {
            _backlog.AddLast(request);
            return;
        }

        Queue(index, request);
    }

    /// <inheritdoc/>
    public void OnEvents(EpollEvents events)
    {
        if ((events & EpollEvents.Out) != 0)
        {
            _writeBlocked = false;
            SetInterest(EpollEvents.In);
            Flush();
        }

        if (_failure is null && (events & (EpollEvents.In | EpollEvents.Err | EpollEvents.Hup)) != 0)
        {
            Receive();
        }
    }

    /// <summary>Ends the connection, and gives back every request that it holds.</summary>
    /// <param name="reason">Why. Later reasons are echoes and ignored.</param>
    public void Fail(NbdException reason) => Fail(reason, isPeerClosed: false, isCutOff: false);

    /// <summary>Ends the connection because of what a call on its socket returned.</summary>
    /// <param name="reason">Why.</param>
    /// <param name="result">0 for the end of the stream, or a negative errno.</param>
    internal void FailBySocket(NbdException reason, int result) => Fail(reason, IsClosedByPeer(result), !IsClosedByPeer(result));

    /// <summary>The socket told, after the failure, that it is cut off.</summary>
    internal void NoteCutOff() => IsCutOff = true;

    /// <summary>Whether the result of a call on the socket means that the server has closed its end.</summary>
    /// <param name="result">0 for the end of the stream, or a negative errno.</param>
    internal bool IsClosedByPeer(int result) =>
        result is 0 or -Errno.ECONNRESET or -Errno.EPIPE && _isLineCutOff?.Invoke() != true;

    private void Fail(NbdException reason, bool isPeerClosed, bool isCutOff)
    {
        if (_failure is not null)
        {
            return;
        }

        // The cause first, so that nothing new gets in; then the table is emptied.
        _failure = reason;
        IsPeerClosed = isPeerClosed;
        IsCutOff = isCutOff;
        _owner.OnConnectionFailing();
        Leave();
        int error = _shutdownSeen ? BlockErrno.ESHUTDOWN : Lost;
        for (int index = 0; index < _table.Capacity; index++)
        {
            if (_table[index].Request is { } request)
            {
                if (_table[index].SentAt != long.MaxValue)
                {
                    request.DeviceState |= BlockRequestMarks.Sent;
                    HasGhosts |= request.IsMutating || request.Operation == BlockOperation.Flush;
                }

                _owner.OnRequestEnded(_table.Remove(index), error);
            }
        }

        // The descriptor lives on until the connection is disposed, but the server must not go on sending for ever; unless its
        // close is to be waited for, which tells that it acts on nothing more.
        _ = Posix.Shutdown(_fd, HasGhosts ? SocketConstants.SHUT_WR : SocketConstants.SHUT_RDWR);

        while (_backlog.TryTakeFirst(out BlockRequest? waiting))
        {
            _owner.OnRequestEnded(waiting, error);
        }

        _owner.OnConnectionFailed(this, reason);
    }

    /// <summary>
    /// Soft disconnect: sends NBD_CMD_DISC and closes the sending side. The caller sees to it that nothing is in flight.
    /// </summary>
    public void Disconnect()
    {
        if (_failure is not null)
        {
            return;
        }

        _ = SayGoodbye(_fd, _extended);
        _failure = new NbdDisconnectedException("the connection was closed");
        Leave();
    }

    /// <summary>
    /// The server is going away (NBD spec, "Terminating the transmission phase"): sends nothing more, waits for what is in
    /// flight, then disconnects.
    /// </summary>
    public void BeginShutdown()
    {
        if (_failure is not null || _shutdownSeen)
        {
            return;
        }

        _shutdownSeen = true;
        WithdrawUnsent();
        if (_table.Count == 0)
        {
            Disconnect();
        }
    }

    /// <summary>
    /// Ends the connection although requests are in flight: they end with an error. NBD_CMD_DISC goes first when the stream
    /// stands between two requests (NBD spec, "Terminating the transmission phase": the client may send it at any time).
    /// </summary>
    /// <param name="reason">Why.</param>
    public void GiveUp(NbdException reason)
    {
        int sent = _failure is null && _vectors.Count == 0 ? SayGoodbye(_fd, _extended) : -Errno.EAGAIN;

        // An error of the socket is told once, to whoever asks first.
        Fail(reason, isPeerClosed: false, isCutOff: sent < 0 && sent != -Errno.EAGAIN && !IsClosedByPeer(sent));
    }

    /// <summary>Sends NBD_CMD_DISC over a socket in the transmission phase and closes its sending side.</summary>
    /// <param name="fd">The socket.</param>
    /// <param name="extended">Extended headers were negotiated.</param>
    /// <returns>Bytes that were sent, or a negative errno.</returns>
    public static int SayGoodbye(int fd, bool extended)
    {
        Span<byte> header = stackalloc byte[NbdExtendedRequestHeader.Size];
        header = header[..HandshakeSession.WriteDisconnect(header, extended)];

        // An idle socket's buffer takes some 30 bytes; a server that is gone already needs no farewell.
        int sent = Posix.Send(fd, header, SocketConstants.MSG_DONTWAIT);
        _ = Posix.Shutdown(fd, SocketConstants.SHUT_WR);
        return sent;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _socket.Dispose();
        _vectors.Dispose();
        ((IDisposable)_headers).Dispose();
        ((IDisposable)_receive).Dispose();
        DisposeSplice();
    }

    private void Leave()
    {
        _loop.Remove(_fd);
        _interest = 0;
    }

    private void SetInterest(EpollEvents interest)
    {
        if (_interest != interest && _failure is null)
        {
            _interest = interest;
            _loop.Modify(_fd, interest);
        }
    }

    private void End(int index, int error)
    {
        BlockRequest request = _table.Remove(index);
        CountOut(request);
        if (error == 0 && request.Operation == BlockOperation.Read)
        {
            ReadBytes += request.Length;
        }
        else if (error == 0 && request.Operation == BlockOperation.Write)
        {
            WrittenBytes += request.Length;
        }

        if (error == BlockErrno.ESHUTDOWN && !_shutdownSeen)
        {
            // As BeginShutdown, but for this very request, which ends below.
            _shutdownSeen = true;
            _owner.OnServerShutdown(this);
            WithdrawUnsent();
        }

        _owner.OnRequestEnded(request, error);
        if (_backlog.TryTakeFirst(out BlockRequest? next))
        {
            Submit(next);
        }

        if (_shutdownSeen && _table.Count == 0)
        {
            Disconnect();
        }
    }

    private void Violation(string rule, string message) => Fail(new NbdProtocolException(rule, message));
}
