using NbdFuse.Block;
using NbdFuse.Native;
using NbdFuse.Protocol;

namespace NbdFuse.Client.Transmission;

/// <content>The sending half: a queue of slots, and one vectored send for all that a turn queued.</content>
internal sealed partial class NbdConnection
{
    private const int HeaderStride = 32;

    /// <summary>Just below 4 GiB, and whole blocks of every legal size.</summary>
    private const long LongestCompactStatus = (1L << 32) - (1 << 16);

    private readonly NativeBuffer _headers;
    private readonly IoVectorList _vectors = new(IoVectorList.MaximumCapacity);
    private readonly int[] _pending = new int[TableCapacity];
    private int _pendingHead;
    private int _pendingCount;
    private bool _writeBlocked;
    private long _queuedBytes;
    private long _sentBytes;

    /// <summary>Sends all that is queued, as far as the socket takes it; the rest follows when it can be written again.</summary>
    public void Flush()
    {
        while (!_writeBlocked && _failure is null)
        {
            if (_vectors.Count == 0 && !FillVectors())
            {
                return;
            }

            int sent = Posix.SendMsg(_fd, _vectors, SocketConstants.MSG_DONTWAIT);
            if (sent == -Errno.EAGAIN)
            {
                _writeBlocked = true;
                SetInterest(EpollEvents.In | EpollEvents.Out);
            }
            else if (sent < 0)
            {
                FailBySocket(
                    new NbdDisconnectedException(
                        $"the connection to the server broke while sending: {Errno.Describe(-sent)}; is the server still running?"),
                    sent);
            }
            else
            {
                _sentBytes += sent;
                _vectors.Advance(sent);
            }
        }
    }

    private static NbdCommand CommandOf(BlockOperation operation) => operation switch
    {
        BlockOperation.Read => NbdCommand.Read,
        BlockOperation.Write => NbdCommand.Write,
        BlockOperation.Flush => NbdCommand.Flush,
        BlockOperation.Trim => NbdCommand.Trim,
        BlockOperation.WriteZeroes => NbdCommand.WriteZeroes,
        BlockOperation.BlockStatus => NbdCommand.BlockStatus,
        _ => NbdCommand.Cache,
    };

    private static NbdCommandFlags FlagsOf(BlockRequest request)
    {
        NbdCommandFlags flags = 0;
        if ((request.Flags & BlockRequestFlags.Fua) != 0)
        {
            flags |= NbdCommandFlags.Fua;
        }

        if ((request.Flags & BlockRequestFlags.NoHole) != 0)
        {
            flags |= NbdCommandFlags.NoHole;
        }

        if ((request.Flags & BlockRequestFlags.FastZero) != 0)
        {
            flags |= NbdCommandFlags.FastZero;
        }

        if (request.Operation == BlockOperation.BlockStatus)
        {
            // One extent of a known size: what is longer would need room for as many as the server likes.
            flags = NbdCommandFlags.ReqOne;
        }

        return flags;
    }

    private void Queue(int index, BlockRequest request)
    {
        // What another connection has said of it before it was lost does not count.
        request.StatusLength = 0;
        Span<byte> header = _headers.Span.Slice(index * HeaderStride, _requestHeaderBytes);
        NbdCommandFlags flags = FlagsOf(request);
        if (_extended)
        {
            // The flag tells that bytes follow, and that the length is theirs: never without them, never in the compact form.
            flags |= request.Operation == BlockOperation.Write ? NbdCommandFlags.PayloadLen : 0;
            NbdExtendedRequestHeader.Write(
                header, flags, CommandOf(request.Operation), _table.CookieOf(index), (ulong)request.Offset, (ulong)request.Length);
        }
        else
        {
            NbdRequestHeader.Write(
                header, flags, CommandOf(request.Operation), _table.CookieOf(index), (ulong)request.Offset, (uint)WireLength(request));
        }

        _pending[(_pendingHead + _pendingCount++) % TableCapacity] = index;
        CountIn(request);
    }

    /// <summary>
    /// Bytes that a request names: a BLOCK_STATUS may be answered about less than its range, so where 32 bits have to do, it names
    /// less.
    /// </summary>
    private long WireLength(BlockRequest request) =>
        request.Operation == BlockOperation.BlockStatus && !_extended ? Math.Min(request.Length, LongestCompactStatus) : request.Length;

    /// <summary>Ends what the server has not heard of, after it said that it is going away.</summary>
    private void WithdrawUnsent()
    {
        while (_pendingCount > 0)
        {
            int index = _pending[_pendingHead];
            _pendingHead = (_pendingHead + 1) % TableCapacity;
            _pendingCount--;
            BlockRequest request = _table.Remove(index);
            CountOut(request);
            _owner.OnRequestEnded(request, BlockErrno.ESHUTDOWN);
        }

        while (_backlog.TryTakeFirst(out BlockRequest? request))
        {
            _owner.OnRequestEnded(request, BlockErrno.ESHUTDOWN);
        }
    }

    private bool FillVectors()
    {
        _vectors.Clear();
        while (_pendingCount > 0 && _vectors.Count <= _vectors.Capacity - 2)
        {
            int index = _pending[_pendingHead];
            _pendingHead = (_pendingHead + 1) % TableCapacity;
            _pendingCount--;
            ref InFlightSlot slot = ref _table[index];
            BlockRequest request = slot.Request!;
            if (request.IsAbandoned)
            {
                // Not one byte of it has been sent: its caller was told EINTR, so withdraw it.
                End(index, BlockErrno.EINTR);
                continue;
            }

            Requests++;
            _vectors.Add(_headers.Span.Slice(index * HeaderStride, _requestHeaderBytes));
            if (request.Operation == BlockOperation.Write)
            {
                _vectors.Add(request.Buffer.Span);
            }

            _queuedBytes += _requestHeaderBytes + (request.Operation == BlockOperation.Write ? request.Length : 0);
            slot.SentAt = _queuedBytes;
        }

        return _vectors.Count > 0;
    }
}
