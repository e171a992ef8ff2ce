using NbdFuse.Block;
using NbdFuse.Native;
using NbdFuse.Native.Fuse;

namespace NbdFuse.Fuse;

/// <content>
/// SEEK_HOLE and SEEK_DATA where the device knows its holes, and what they teach about the room that the file takes.
/// </content>
/// <remarks>
/// The device is asked each time: no answer is kept that a write could make untrue. Only what reads as zeroes is a hole to a file;
/// a hole of unknown content is data. Data is never a wrong answer, a hole may be: so whatever is in doubt is data. In doubt is
/// a range that a change was under way to at any time of the search, since the device may have looked before it was made while
/// its caller was told of its success before the search ends.
/// </remarks>
public sealed partial class FuseSession
{
    /// <summary>Most questions of one search: a device that tells a block at a time must not keep a caller for ever.</summary>
    private const int MaximumQuestions = 256;

    /// <summary>A device that finds a question too long is asked about less, down to this many bytes.</summary>
    private const long SmallestQuestion = 1 << 20;

    /// <summary>
    /// How long the kernel may keep the attributes of a file whose holes are being learned, in milliseconds: the room that it takes
    /// changes by other things than writes.
    /// </summary>
    private const long RoomTimeoutMs = 1000;

    private readonly HoleMap _holes = new(HoleMap.DefaultCapacity);
    private long _longestQuestion = long.MaxValue;
    private int _searches;

    private bool KnowsHoles => _queue.Info.CanBlockStatus;

    private bool Search(in FuseInHeader header, int buffer, long offset, bool seeksHole)
    {
        if (!TryRent(header, buffer, out BlockRequest? request))
        {
            return false;
        }

        ref FuseRequestState slot = ref _states[request.Tag];
        slot.SeekFrom = offset;
        slot.SeeksHole = seeksHole;
        slot.Questions = 0;
        slot.ChangedStart = long.MaxValue;
        slot.ChangedEnd = 0;
        _searches++;
        for (int tag = 0; tag < _states.Length; tag++)
        {
            // Those that were answered by an interrupt too: the device may still make them.
            if (_states[tag].Active && _states[tag].Request!.IsMutating)
            {
                Doubt(ref slot, _states[tag].Request!.Offset, _states[tag].Request!.End);
            }
        }

        Ask(request, ref slot, offset, _arrivedMs);
        return true;
    }

    /// <summary>A change begins. Called for each, before it is submitted.</summary>
    private void NoteChange(long offset, long length)
    {
        _holes.Remove(offset, offset + length);
        for (int tag = 0; _searches > 0 && tag < _states.Length; tag++)
        {
            if (_states[tag].Active && _states[tag].Opcode == FuseOpcode.Lseek)
            {
                Doubt(ref _states[tag], offset, offset + length);
            }
        }
    }

    // One range for all of them: what lies between two changes is taken for data although it may be a hole.
    private static void Doubt(ref FuseRequestState slot, long start, long end)
    {
        slot.ChangedStart = Math.Min(slot.ChangedStart, start);
        slot.ChangedEnd = Math.Max(slot.ChangedEnd, end);
    }

    private void Ask(BlockRequest request, ref FuseRequestState slot, long offset, long startedMs)
    {
        slot.Questions++;
        request.Operation = BlockOperation.BlockStatus;
        request.Offset = offset;
        request.Length = Math.Min(_size - offset, _longestQuestion);
        _queue.Submit(request, startedMs);
    }

    /// <summary>Goes on with a search that has found only the other kind, unless its caller was answered by an interrupt.</summary>
    /// <returns>True when the slot is in use for the next question.</returns>
    private bool ContinueSearch(BlockRequest request, ref FuseRequestState slot)
    {
        if (request.Error == 0)
        {
            Learn(request, slot);
        }

        long next = NextQuestion(request, slot);
        if (next < 0 || request.IsAbandoned || _ended)
        {
            _searches--;
            return false;
        }

        // Its age is that of the search: a caller can break off a long one.
        long startedMs = request.StartedMs;
        request.Reset();
        request.Owner = this;
        request.Token = slot.Unique;
        Ask(request, ref slot, next, startedMs);
        return true;
    }

    /// <summary>Where the search has to ask next, or -1 when it is over.</summary>
    private long NextQuestion(BlockRequest request, in FuseRequestState slot)
    {
        if (slot.Questions >= MaximumQuestions)
        {
            return -1;
        }

        if (request.Error is BlockErrno.EINVAL or BlockErrno.EOVERFLOW && request.Length > SmallestQuestion)
        {
            _longestQuestion = Math.Max(request.Length / 2, SmallestQuestion);
            return request.Offset;
        }

        if (request.Error != 0 || request.StatusLength <= 0)
        {
            return -1;
        }

        long next = request.Offset + request.StatusLength;
        if ((request.Status & BlockStatus.Zero) != 0)
        {
            if (slot.SeeksHole)
            {
                // A hole, unless its start is in doubt.
                next = Math.Min(next, IsDoubtful(slot, request.Offset) ? slot.ChangedEnd : -1);
            }
        }
        else if (!slot.SeeksHole)
        {
            return -1;
        }

        return next < _size ? next : -1;
    }

    private void AnswerSearch(BlockRequest request, in FuseRequestState slot)
    {
        bool isKnown = request.Error == 0 && request.StatusLength > 0;
        bool isZero = isKnown && (request.Status & BlockStatus.Zero) != 0;
        bool isLast = isKnown && request.Offset + request.StatusLength >= _size;
        long found;
        if (slot.SeeksHole)
        {
            // Behind the last byte is the hole that every file has. All the rest may be data where nobody can tell.
            found = isZero && !IsDoubtful(slot, request.Offset) ? request.Offset : _size;
        }
        else
        {
            // Zeroes at the end of a search mean that there was no more of the device, or of the patience.
            found = !isZero ? request.Offset : isLast ? _size : request.Offset + request.StatusLength;
            if (slot.ChangedStart < found && slot.SeekFrom < Math.Min(found, slot.ChangedEnd))
            {
                found = Math.Max(slot.SeekFrom, slot.ChangedStart);
            }

            if (found >= _size)
            {
                Answer(slot.Buffer, slot.Unique, Errno.ENXIO);
                return;
            }
        }

        AnswerWith(slot.Buffer, slot.Unique, new FuseLseekOut { Offset = (ulong)found }, 8);
    }

    private static bool IsDoubtful(in FuseRequestState slot, long offset) => offset >= slot.ChangedStart && offset < slot.ChangedEnd;

    private void Learn(BlockRequest request, in FuseRequestState slot)
    {
        long end = request.Offset + request.StatusLength;
        if ((request.Status & BlockStatus.Hole) == 0)
        {
            _holes.Remove(request.Offset, end);
            return;
        }

        _holes.Add(request.Offset, end);
        if (slot.ChangedStart < slot.ChangedEnd)
        {
            _holes.Remove(slot.ChangedStart, slot.ChangedEnd);
        }
    }

    /// <summary>
    /// 512-byte blocks that the file takes, as far as the device has told. Asking it here would make every stat wait for the server,
    /// and a map of a large file takes long; so a hole counts once a search has met it. But never the full number: programs
    /// look for holes only in files that take less room than their size.
    /// </summary>
    private ulong BlocksTaken()
    {
        ulong all = ((ulong)_size + 511) / 512;
        return !KnowsHoles || _size < 512 ? all : Math.Min(((ulong)(_size - _holes.Total) + 511) / 512, ((ulong)_size / 512) - 1);
    }
}
