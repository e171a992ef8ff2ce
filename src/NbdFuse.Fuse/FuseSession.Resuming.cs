using Microsoft.Extensions.Logging;

namespace NbdFuse.Fuse;

/// <content>
/// Going on with a mount that another process has served: there is no INIT. What that process had taken and not answered comes once
/// more from the kernel, when it was asked for that; what did not is in the buffers that it has left, and is taken from there
/// before anything else is read, under the same limits.
/// </content>
public sealed partial class FuseSession
{
    // Of those that are left in the buffers: how many were looked at, and the number of the last one that was open.
    private int _leftTaken;
    private ulong _lastLeft;
    private int _leftOpen;

    private void TakeOver(FuseSavedState? saved)
    {
        if (saved?.LoadNegotiation() is not { } negotiation)
        {
            return;
        }

        _negotiation = negotiation;
        saved.LoadAttributes(ref _file, ref _directory);
        _file.Size = (ulong)_size;
    }

    private void BeginReadingOnLoop()
    {
        if (!_held)
        {
            return;
        }

        _held = false;
        SetReading(!_draining && TakeLeft() && MayRead());
    }

    /// <summary>Takes what a dead process has left, as far as there is room.</summary>
    /// <returns>Whether nothing is left.</returns>
    private bool TakeLeft()
    {
        ReadOnlySpan<int> left = _buffers.Left;
        if (_leftTaken == left.Length)
        {
            return true;
        }

        while (!_ended && _leftTaken < left.Length && MayRead())
        {
            int buffer = left[_leftTaken++];
            FuseSlotRecord record = _buffers.Record(buffer);

            // A small request is in two buffers when its process died while it moved it.
            if (!record.HasReply || record.Unique == _lastLeft || !FuseProbe.IsOpen(_device, record.Unique))
            {
                _buffers.Return(buffer);
                continue;
            }

            _lastLeft = record.Unique;
            _leftOpen++;
            Begin(buffer, (int)record.Length, PayloadOf(_buffers.Request(buffer, (int)record.Length)));
        }

        if (_leftTaken < left.Length)
        {
            return false;
        }

        LogLeft(_logger, left.Length, _leftOpen);
        return true;
    }

    /// <summary>Answers those that were not taken.</summary>
    private void AnswerLeft(int error)
    {
        foreach (int buffer in _buffers.Left[_leftTaken..])
        {
            FuseSlotRecord record = _buffers.Record(buffer);
            if (record.HasReply)
            {
                Answer(buffer, record.Unique, error);
            }

            _buffers.Return(buffer);
        }

        _leftTaken = _buffers.Left.Length;
    }

    [LoggerMessage(Level = LogLevel.Debug, Message = "{Count} requests were left by the process before, {Open} of them without an answer")]
    private static partial void LogLeft(ILogger logger, int count, int open);
}
