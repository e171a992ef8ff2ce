using Microsoft.Extensions.Logging;
using NbdFuse.Native;

namespace NbdFuse.Client;

/// <summary>
/// Carries bytes between a TLS session and one end of a socket pair, whose other end is the connection for everybody else: raw
/// plain text, with the ends of streams as a TCP socket has them.
/// </summary>
/// <remarks>
/// THREADING: a thread of its own, which owns session, socket and pair end from <see cref="Start"/> on. It blocks in poll(2) only,
/// and allocates nothing per round.
/// ENDS: when the connection's user closes its sending side, what it sent goes out, then close_notify and a FIN. When the user
/// closes the whole of it, what is left has a second from the end of its sending on; then the connection is reset, because
/// from there on the user counts on nothing arriving any more.
/// </remarks>
internal sealed class TlsPump
{
    private const int BufferBytes = 128 * 1024;
    private const int StackBytes = 256 * 1024;
    private const int FlushMilliseconds = 1000;

    private readonly TlsSession _session;
    private readonly FileDescriptor _socket;
    private readonly FileDescriptor _pair;
    private readonly TlsErrors _errors;
    private readonly ILogger _logger;
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);

    // From the server, decrypted; from the user, to be encrypted.
    private readonly byte[] _incoming = GC.AllocateUninitializedArray<byte>(BufferBytes, pinned: true);
    private readonly byte[] _outgoing = GC.AllocateUninitializedArray<byte>(BufferBytes, pinned: true);
    private int _incomingStart;
    private int _incomingEnd;
    private int _outgoingStart;
    private int _outgoingEnd;
    private TlsStatus _readStatus;
    private TlsStatus _writeStatus;
    private volatile bool _hasReceived;
    private bool _isBroken;
    private bool _serverEnded;
    private bool _endForwarded;
    private bool _userEnded;
    private bool _userGone;
    private bool _goodbyeSaid;
    private long _closingSince;
    private volatile NbdConnectException? _failure;

    /// <summary>Prepares the pump; the handshake is over.</summary>
    /// <param name="session">The session; owned from <see cref="Start"/> on.</param>
    /// <param name="socket">Its socket, non-blocking; owned, too.</param>
    /// <param name="pair">The pump's end of the pair, non-blocking; owned, too.</param>
    /// <param name="errors">Turns failures into messages.</param>
    /// <param name="logger">Hears of a session that breaks.</param>
    public TlsPump(TlsSession session, FileDescriptor socket, FileDescriptor pair, TlsErrors errors, ILogger logger)
    {
        _session = session;
        _socket = socket;
        _pair = pair;
        _errors = errors;
        _logger = logger;
    }

    /// <summary>Why TLS broke, or null. It is set before the user of the connection sees its end.</summary>
    public NbdConnectException? Failure => _failure;

    /// <summary>Whether anything has come from inside TLS: until then a silent end may mean that the server refused us.</summary>
    public bool HasReceived => _hasReceived;

    /// <summary>Ends with the thread.</summary>
    public Task Ended => _ended.Task;

    /// <summary>Starts the thread.</summary>
    public void Start()
    {
        var thread = new Thread(Run, StackBytes) { IsBackground = true, Name = "nbd-tls" };
        thread.Start();
    }

    private void Run()
    {
        try
        {
            while (Turn())
            {
                Wait();
            }

            if (_userGone && !_serverEnded && (_outgoingStart < _outgoingEnd || _session.HasUnsent || SinceClosing() > FlushMilliseconds))
            {
                _ = Posix.SetLingerZero(_socket.Value);
            }
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException)
        {
            Log.TlsBroken(_logger, e.Message);
        }
        finally
        {
            _session.Dispose();
            _socket.Dispose();
            _pair.Dispose();
            _ended.TrySetResult();
        }
    }

    /// <summary>Moves what can be moved without waiting.</summary>
    /// <returns>False when nothing is left to do.</returns>
    private bool Turn()
    {
        bool moved;
        do
        {
            moved = Receive();
            moved |= Deliver();
            moved |= Take();
            moved |= Send();
        }
        while (moved);
        SayGoodbye();
        bool isFlushed = _outgoingStart == _outgoingEnd && !_session.HasUnsent;
        if (_isBroken)
        {
            // What came before the failure is delivered first: it was authentic.
            return !_userGone && _incomingStart < _incomingEnd;
        }

        return !_userGone || (!(isFlushed && _userEnded) && SinceClosing() <= FlushMilliseconds);
    }

    private bool Receive()
    {
        bool moved = false;
        if (_userGone || _serverEnded)
        {
            return false;
        }

        if (_incomingStart == _incomingEnd)
        {
            _incomingStart = _incomingEnd = 0;
        }

        while (_incomingEnd < BufferBytes)
        {
            _readStatus = _session.Read(_incoming.AsSpan(_incomingEnd), out int count);
            if (_readStatus != TlsStatus.Ok)
            {
                break;
            }

            _incomingEnd += count;
            _hasReceived = true;
            moved = true;
        }

        if (_readStatus is TlsStatus.Closed or TlsStatus.Failed)
        {
            // Requests and replies have lengths: a cut is seen without close_notify, which many servers never send.
            _serverEnded = true;
            moved = true;
            if (_readStatus == TlsStatus.Failed)
            {
                Fail();
            }
        }

        return moved;
    }

    private bool Deliver()
    {
        bool moved = false;
        while (_incomingStart < _incomingEnd && !_userGone)
        {
            int sent = Posix.Send(_pair.Value, _incoming.AsSpan(_incomingStart.._incomingEnd), SocketConstants.MSG_DONTWAIT);
            if (sent == -Errno.EAGAIN)
            {
                break;
            }

            if (sent < 0)
            {
                SetUserGone();
                break;
            }

            _incomingStart += sent;
            moved = true;
        }

        if (_serverEnded && !_endForwarded && _incomingStart == _incomingEnd)
        {
            _endForwarded = true;
            _ = Posix.Shutdown(_pair.Value, !_isBroken ? SocketConstants.SHUT_WR : SocketConstants.SHUT_RDWR);
        }

        return moved;
    }

    private bool Take()
    {
        if (_userEnded || _outgoingStart < _outgoingEnd)
        {
            return false;
        }

        int received = Posix.Recv(_pair.Value, _outgoing, SocketConstants.MSG_DONTWAIT);
        if (received == -Errno.EAGAIN)
        {
            return false;
        }

        _outgoingStart = 0;
        _outgoingEnd = Math.Max(received, 0);
        if (received <= 0)
        {
            SetUserEnded();
        }

        return true;
    }

    private bool Send()
    {
        bool moved = false;
        if (_session.HasUnsent && !_isBroken)
        {
            _writeStatus = _session.Flush();
            if (_writeStatus == TlsStatus.WantWrite)
            {
                return false;
            }

            moved = true;
            if (_writeStatus == TlsStatus.Failed)
            {
                Fail();
                _serverEnded = true;
            }
        }

        while (_outgoingStart < _outgoingEnd)
        {
            _writeStatus = !_isBroken ? _session.Write(_outgoing.AsSpan(_outgoingStart.._outgoingEnd), out int count) : Drop(out count);
            if (_writeStatus == TlsStatus.Ok)
            {
                _outgoingStart += count;
                moved = true;
            }
            else if (_writeStatus is TlsStatus.WantRead or TlsStatus.WantWrite)
            {
                break;
            }
            else
            {
                Fail();
                _serverEnded = true;
                moved = true;
            }
        }

        return moved;
    }

    // To a session that is broken nothing can be sent; its user learns of it by the end of the stream.
    private TlsStatus Drop(out int count)
    {
        count = _outgoingEnd - _outgoingStart;
        return TlsStatus.Ok;
    }

    private void SayGoodbye()
    {
        if (_userEnded && _outgoingStart == _outgoingEnd && !_session.HasUnsent && !_goodbyeSaid)
        {
            _goodbyeSaid = true;
            _session.SayGoodbye();
            _ = Posix.Shutdown(_socket.Value, SocketConstants.SHUT_WR);
        }
    }

    private void Wait()
    {
        PollEvents socket = 0;
        bool isFull = _incomingEnd == BufferBytes;
        if (!_serverEnded && !_userGone && !isFull)
        {
            socket |= _readStatus == TlsStatus.WantWrite ? PollEvents.Out : PollEvents.In;
        }

        if (!_isBroken && (_outgoingStart < _outgoingEnd || _session.HasUnsent))
        {
            socket |= _writeStatus == TlsStatus.WantRead ? PollEvents.In : PollEvents.Out;
        }

        PollEvents pair = 0;
        if (!_userEnded && _outgoingStart == _outgoingEnd)
        {
            pair |= PollEvents.In;
        }

        if (_incomingStart < _incomingEnd)
        {
            pair |= PollEvents.Out;
        }

        // A descriptor that nothing is wanted of is left out: its errors would wake us without end.
        Span<PollDescriptor> entries =
        [
            new PollDescriptor(socket == 0 ? -1 : _socket.Value, socket),
            new PollDescriptor(_userGone ? -1 : _pair.Value, pair),
        ];
        int timeout = _userGone ? (int)Math.Clamp(FlushMilliseconds - SinceClosing() + 1, 0, FlushMilliseconds + 1) : -1;
        PosixException.Check(Posix.Poll(entries, timeout), "wait for a TLS connection");
        if ((entries[1].Returned & (PollEvents.Hup | PollEvents.Err)) != 0)
        {
            SetUserGone();
        }
    }

    private void SetUserGone()
    {
        _userGone = true;
        BeginClosing();
        _incomingStart = _incomingEnd;
    }

    private void SetUserEnded()
    {
        _userEnded = true;
        BeginClosing();
    }

    // Whichever comes first: behind a server that takes nothing the end of what the user sent may never be reached.
    private void BeginClosing()
    {
        if (_closingSince == 0)
        {
            _closingSince = MonotonicClock.Milliseconds;
        }
    }

    private long SinceClosing() => _closingSince == 0 ? 0 : MonotonicClock.Milliseconds - _closingSince;

    private void Fail()
    {
        _isBroken = true;

        // The end of the stream says enough: servers close without close_notify, and may be killed.
        if (_failure is null && _session.Failure is { IsSilentClose: false } failure)
        {
            _failure = _errors.Describe(failure);
            Log.TlsBroken(_logger, _failure.Message);
        }
    }
}
