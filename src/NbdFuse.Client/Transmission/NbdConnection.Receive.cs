using System.Buffers.Binary;
using NbdFuse.Block;
using NbdFuse.Native;
using NbdFuse.Protocol;

namespace NbdFuse.Client.Transmission;

/// <content>
/// The receiving half: bytes from the socket into the receive buffer, frames out of it. Payloads that are large, or cut
/// by the end of the buffer, are received straight into the buffer of their request.
/// </content>
internal sealed partial class NbdConnection
{
    /// <summary>READs from this length on are received straight into their buffer, in bytes.</summary>
    private const int DirectBytes = 32 * 1024;

    /// <summary>Most receive calls in one turn, so that one fast server can't starve the rest of the loop.</summary>
    private const int ReceivesPerTurn = 16;

    /// <summary>Receive size while large READs are in flight among others: little of a payload is copied twice.</summary>
    private const int MixedReceiveBytes = 4096;

    private readonly NativeBuffer _receive;
    private int _start;
    private int _end;
    private int _largeReads;
    private Memory<byte> _bodyTarget;
    private int _bodyIndex = -1;
    private bool _bodyEnds;

    private bool HasBody => _bodyIndex >= 0;

    private void CountIn(BlockRequest request)
    {
        if (request.Operation == BlockOperation.Read && request.Length >= DirectBytes)
        {
            _largeReads++;
        }
    }

    private void CountOut(BlockRequest request)
    {
        if (request.Operation == BlockOperation.Read && request.Length >= DirectBytes)
        {
            _largeReads--;
        }
    }

    private void Receive()
    {
        for (int i = 0; i < ReceivesPerTurn && _failure is null; i++)
        {
            if (IsSplicing)
            {
                if (!ContinueSplice())
                {
                    return;
                }

                continue;
            }

            bool direct = HasBody && _start == _end;
            Span<byte> target = direct ? _bodyTarget.Span : NextReceiveSpan();
            int received = Posix.Recv(_fd, target, SocketConstants.MSG_DONTWAIT);
            if (received == -Errno.EAGAIN)
            {
                return;
            }

            if (received <= 0)
            {
                FailReceive(received);
                return;
            }

            if (direct)
            {
                AdvanceBody(received);
            }
            else
            {
                _end += received;
            }

            if (!ParseAll() || received < target.Length)
            {
                return;
            }
        }
    }

    private void FailReceive(int result)
    {
        string reason = result < 0
            ? $"the connection to the server broke while receiving: {Errno.Describe(-result)}; is the server still running?"
            : _table.Count == 0 && _start == _end
            ? "the server closed the connection; is it still running?"
            : $"the server closed the connection with {_table.Count} requests in flight; is it still running?";
        FailBySocket(new NbdDisconnectedException(reason), result);
    }

    private Span<byte> NextReceiveSpan()
    {
        int length = ReceiveBufferBytes;
        if (_largeReads > 0)
        {
            // Only headers are wanted: what follows goes straight to where it belongs.
            int missing = _dataHeaderBytes - (_end - _start);
            length = _largeReads == _table.Count && missing > 0 ? missing : MixedReceiveBytes;
        }

        if (_start == _end)
        {
            _start = 0;
            _end = 0;
        }
        else if (ReceiveBufferBytes - _end < Math.Min(length, DirectBytes + 64))
        {
            _receive.Span[_start.._end].CopyTo(_receive.Span);
            _end -= _start;
            _start = 0;
        }

        return _receive.Span.Slice(_end, Math.Min(length, ReceiveBufferBytes - _end));
    }

    /// <summary>Handles every frame that is complete.</summary>
    /// <returns>False when the connection failed.</returns>
    private bool ParseAll()
    {
        while (_failure is null)
        {
            if (IsSplicing)
            {
                return true;
            }

            if (HasBody)
            {
                if (_start == _end)
                {
                    return true;
                }

                int length = Math.Min(_end - _start, _bodyTarget.Length);
                _receive.Span.Slice(_start, length).CopyTo(_bodyTarget.Span);
                _start += length;
                AdvanceBody(length);
                continue;
            }

            ReadOnlySpan<byte> available = _receive.Span[_start.._end];
            if (available.Length < sizeof(uint))
            {
                return true;
            }

            uint magic = BinaryPrimitives.ReadUInt32BigEndian(available);
            bool more;
            if (_extended)
            {
                more = ParseExtended(available, magic);
            }
            else if (magic == NbdMagic.SimpleReply)
            {
                more = ParseSimple(available);
            }
            else if (magic == NbdMagic.StructuredReply && _structured)
            {
                more = ParseStructured(available);
            }
            else
            {
                Violation("a reply starts with its magic", $"a reply started with 0x{magic:x8}");
                return false;
            }

            if (!more)
            {
                return _failure is null;
            }
        }

        return false;
    }

    /// <summary>Begins to receive content of a READ into its buffer.</summary>
    /// <param name="index">Slot of the READ.</param>
    /// <param name="offset">Offset in the export; inside the READ.</param>
    /// <param name="length">Bytes.</param>
    /// <param name="ends">The reply ends with the last of these bytes.</param>
    private void StartBody(int index, long offset, int length, bool ends)
    {
        BlockRequest request = _table[index].Request!;
        _bodyIndex = index;
        _bodyTarget = request.Buffer.Slice((int)(offset - request.Offset), length);
        _bodyEnds = ends;
    }

    private void AdvanceBody(int length)
    {
        _bodyTarget = _bodyTarget[length..];
        if (_bodyTarget.Length > 0)
        {
            return;
        }

        int index = _bodyIndex;
        _bodyIndex = -1;
        _bodyTarget = default;
        if (_bodyEnds)
        {
            EndReply(index);
        }
    }
}
