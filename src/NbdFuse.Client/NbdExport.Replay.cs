using NbdFuse.Block;
using NbdFuse.Client.Transmission;
using NbdFuse.Native;

namespace NbdFuse.Client;

/// <content>Before requests go to a server again: is it the same disk, and has it everything that was acknowledged?</content>
public sealed partial class NbdExport
{
    /// <summary>Writes of the log that are under way at the same time.</summary>
    private const int ReplayDepth = 32;

    private readonly List<BlockRequest> _checks = [];
    private readonly Stack<BlockRequest> _freeReplays = [];
    private NativeBuffer? _checkBuffer;
    private List<ReplayPiece> _plan = [];
    private int _nextPiece;
    private int _pending;
    private int _verified;
    private int _unreadable;
    private long _replayed;

    /// <summary>Reads the blocks of the fingerprint whose content must be what it was.</summary>
    private void StartCheck()
    {
        SetPhase(ExportPhase.Checking);
        _pending = 0;
        _verified = 0;
        _unreadable = 0;
        for (int i = 0; _fingerprint is not null && i < _fingerprint.Count; i++)
        {
            // What depends on the log can't be there before the log is written.
            if (_fingerprint[i].Acknowledged <= _durable)
            {
                SendCheck(i);
            }

            if (_phase != ExportPhase.Checking)
            {
                return;
            }
        }

        if (_pending == 0)
        {
            if (_fingerprint is not null && _log is { Count: > 0 })
            {
                Log.NotVerified(_logger);
            }

            StartReplay();
        }
    }

    private void SendCheck(int sample)
    {
        _checkBuffer ??= NativeBuffer.Allocate(Fingerprint.Capacity * _fingerprint!.LongestSample);
        while (_checks.Count <= sample)
        {
            _checks.Add(OwnRequest(BlockRequestMarks.Check));
        }

        BlockRequest request = _checks[sample];
        request.Operation = BlockOperation.Read;
        request.Offset = _fingerprint![sample].Offset;
        request.Length = _fingerprint[sample].Length;
        request.Buffer = _checkBuffer.Memory.Slice(sample * _fingerprint.LongestSample, _fingerprint[sample].Length);

        // Not the number of the sample: others may move into its place before the answer comes.
        request.DeviceMark = (long)_fingerprint[sample].Digest;
        _pending++;
        Send(request);
    }

    private void EndCheck(BlockRequest request, int error)
    {
        if (_phase != ExportPhase.Checking)
        {
            return;
        }

        _pending--;
        if (error != 0)
        {
            _unreadable++;
        }
        else if (Fingerprint.Digest(request.Buffer.Span) != (ulong)request.DeviceMark)
        {
            OtherDisk($"the content of {request.Length} bytes at {request.Offset} differs");
            return;
        }
        else
        {
            _verified++;
        }

        if (_pending > 0)
        {
            return;
        }

        if (_unreadable > 0 && _verified == 0)
        {
            GiveUp(new NbdDisconnectedException(
                $"the server cannot read the blocks by which its disk is recognised: {Errno.Describe(error == 0 ? BlockErrno.EIO : error)}"));
            return;
        }

        StartReplay();
    }

    // Nothing was written to it. Another server may have the right one.
    private void OtherDisk(string difference)
    {
        if (!Refuse(_servers.Current, difference))
        {
            string which = _servers.Count > 1 ? $"no server has the disk that was there before: {_servers.Refusals()}" : $"the server has another disk than before: {difference}";
            Fail(new NbdDisconnectedException($"{which}; nothing was written to it{Loss()}; check the server, and mount again"));
            return;
        }

        // What everybody waits for is still the first loss.
        GiveUp(_cause!);
    }

    /// <summary>A FLUSH has failed: before the next one, everything in the log is written again. See section 5 of the design.</summary>
    private void BeginResend()
    {
        if (_phase == ExportPhase.Ready)
        {
            SetPhase(ExportPhase.Quiescing);
            Tick();
        }
    }

    /// <summary>Writes the log again. Nothing else is under way.</summary>
    private void StartReplay()
    {
        _plan = _log?.Plan() ?? [];
        if (_plan.Count == 0)
        {
            Resume();
            return;
        }

        while (_freeReplays.Count < ReplayDepth)
        {
            _freeReplays.Push(OwnRequest(BlockRequestMarks.Replay));
        }

        SetPhase(ExportPhase.Replaying);
        _nextPiece = 0;
        _pending = 0;
        ContinueReplay();
    }

    private void ContinueReplay()
    {
        while (_phase == ExportPhase.Replaying && _nextPiece < _plan.Count && _pending < ReplayDepth)
        {
            ReplayPiece piece = _plan[_nextPiece++];
            BlockRequest request = _freeReplays.Pop();
            request.Operation = piece.IsZeroes ? BlockOperation.WriteZeroes : BlockOperation.Write;
            request.Flags = piece.NoHole ? BlockRequestFlags.NoHole : BlockRequestFlags.None;
            request.Offset = piece.Offset;
            request.Length = piece.Length;
            request.Buffer = piece.IsZeroes ? default : _log!.PayloadOf(piece);
            _pending++;
            Send(request);
        }
    }

    private void EndReplay(BlockRequest request, int error)
    {
        _freeReplays.Push(request);
        if (_phase != ExportPhase.Replaying)
        {
            return;
        }

        _pending--;
        if (error != 0)
        {
            Fail(new NbdDisconnectedException(
                $"the server acknowledged a write of {request.Length} bytes at {request.Offset} before, and refuses it now: {Errno.Describe(error)}"
                + Loss() + "; mount again"));
            return;
        }

        _replayed++;
        _replayedTotal++;
        if (_pending == 0 && _nextPiece == _plan.Count)
        {
            _plan = [];
            Resume();
            return;
        }

        ContinueReplay();
    }

    private string Loss() => _log is { Count: > 0 } ? $"; {_log.Count} writes ({_log.Bytes} bytes) that were not flushed are lost" : string.Empty;
}
