using NbdFuse.Block;
using NbdFuse.Native;

namespace NbdFuse.Client.Transmission;

/// <content>
/// Large READs by splice: the payload goes from the socket through a pipe to the front end without being copied into
/// our memory.
/// </content>
internal sealed partial class NbdConnection
{
    /// <summary>READs from this length on are worth two more system calls, in bytes.</summary>
    private const int SpliceBytes = 64 * 1024;

    private const int PipeBytes = 1 << 20;
    private int _pipeReader = -1;
    private int _pipeWriter = -1;
    private bool _pipeRefused;

    // A pipe is full by its slots, not by its bytes: small fragments of a real network fill it early, and what was moved has
    // to be copied out again. So payloads of a length that did not fit are tried again ever more rarely.
    private long _missLength = long.MaxValue;
    private int _misses;
    private int _skips;
    private int _spliceIndex = -1;
    private int _spliceRemaining;

    private bool IsSplicing => _spliceIndex >= 0;

    private bool TryStartSplice(int index, BlockRequest request)
    {
        if (!_canSplice || request.Length < SpliceBytes || request.Sink is not { } sink || request.IsAbandoned
            || !OpenPipe())
        {
            return false;
        }

        if (request.Length >= _missLength && _skips > 0)
        {
            _skips--;
            return false;
        }

        Span<byte> header = stackalloc byte[sink.HeaderRoom];
        sink.WriteHeader(request, header);
        if (Posix.Write(_pipeWriter, header) != header.Length)
        {
            ClosePipe();
            return false;
        }

        _spliceIndex = index;
        _spliceRemaining = (int)request.Length;
        return true;
    }

    /// <summary>Moves what the socket holds into the pipe.</summary>
    /// <returns>False when the socket is empty or the connection failed.</returns>
    private bool ContinueSplice()
    {
        int moved = Posix.Splice(_fd, _pipeWriter, _spliceRemaining, SpliceFlags.Move | SpliceFlags.NonBlocking);
        if (moved == -Errno.EAGAIN)
        {
            // Empty socket or full pipe? Small fragments fill the pipe's slots before its bytes.
            if (Posix.Poll(_fd, PollEvents.In, 0) <= 0)
            {
                return false;
            }

            // Bytes may have come between the two calls: only a second refusal means the pipe.
            moved = Posix.Splice(_fd, _pipeWriter, _spliceRemaining, SpliceFlags.Move | SpliceFlags.NonBlocking);
        }

        if (moved == -Errno.EAGAIN)
        {
            _missLength = Math.Min(_missLength, _table[_spliceIndex].Request!.Length);
            _misses = Math.Min(_misses + 1, 10);
            _skips = (1 << _misses) - 2;
            return FallBackToBuffer();
        }

        if (moved <= 0)
        {
            FailReceive(moved);
            return false;
        }

        _spliceRemaining -= moved;
        if (_spliceRemaining > 0)
        {
            return true;
        }

        int index = _spliceIndex;
        BlockRequest request = _table[index].Request!;
        if (request.Length >= _missLength)
        {
            _missLength = long.MaxValue;
            _misses = 0;
        }

        if (!request.IsAbandoned && request.Sink!.TryDeliverFromPipe(request, _pipeReader, (int)request.Length))
        {
            request.IsDelivered = true;
            _spliceIndex = -1;
            EndReply(index);
            return _failure is null;
        }

        return FallBackToBuffer();
    }

    /// <summary>Empties the pipe into the buffer of the request and receives the rest the usual way.</summary>
    private bool FallBackToBuffer()
    {
        int index = _spliceIndex;
        BlockRequest request = _table[index].Request!;
        _spliceIndex = -1;
        int held = (int)request.Length - _spliceRemaining;
        Span<byte> header = stackalloc byte[request.Sink!.HeaderRoom];
        bool complete = Posix.Read(_pipeReader, header) == header.Length;
        for (int done = 0; complete && done < held;)
        {
            int count = Posix.Read(_pipeReader, request.Buffer.Span[done..held]);
            complete = count > 0;
            done += Math.Max(count, 0);
        }

        if (!complete)
        {
            // Content was lost between the socket and us: nothing on this connection can be trusted to be in step.
            Fail(new NbdDisconnectedException("a pipe lost data while a payload was moved through it"));
            return false;
        }

        StartBody(index, request.Offset + held, _spliceRemaining, ends: true);
        if (_spliceRemaining == 0)
        {
            AdvanceBody(0);
        }

        return _failure is null;
    }

    private bool OpenPipe()
    {
        if (_pipeReader >= 0)
        {
            return true;
        }

        if (_pipeRefused || Posix.Pipe2(out _pipeReader, out _pipeWriter, OpenFlags.CloseOnExec | OpenFlags.NonBlocking) < 0)
        {
            _pipeRefused = true;
            return false;
        }

        // Refused where a user has too many pipes already: then it is full earlier, which is handled.
        _ = Posix.FcntlSetPipeSize(_pipeWriter, PipeBytes);
        return true;
    }

    private void ClosePipe()
    {
        if (_pipeReader >= 0)
        {
            _ = Posix.Close(_pipeReader);
            _ = Posix.Close(_pipeWriter);
            _pipeReader = -1;
            _pipeWriter = -1;
        }

        _pipeRefused = true;
    }

    private void DisposeSplice() => ClosePipe();
}
