using NbdFuse.Block;
using NbdFuse.Native;
using NbdFuse.Native.Fuse;

namespace NbdFuse.Fuse;

/// <content>
/// SEEK_HOLE and SEEK_DATA where the device knows its holes. It is asked each time: nothing is kept that a write could make untrue. Only
/// what reads as zeroes is a hole to a file; a hole of unknown content is data.
/// </content>
public sealed partial class FuseSession
{
    // Just below what a request without extended headers can name, and whole blocks of every legal size.
    private const long LongestStatus = (1L << 32) - (1 << 16);

    private bool Search(in FuseInHeader header, int buffer, long offset, bool seeksHole)
    {
        if (!TryRent(header, buffer, out BlockRequest? request))
        {
            return false;
        }

        ref FuseRequestState slot = ref _states[request.Tag];
        slot.SeekFrom = offset;
        slot.SeeksHole = seeksHole;
        Ask(request, offset);
        return true;
    }

    private void Ask(BlockRequest request, long offset)
    {
        request.Operation = BlockOperation.BlockStatus;
        request.Offset = offset - (offset % _queue.Info.MinimumBlock);
        request.Length = Math.Min(_size - request.Offset, LongestStatus);
        _queue.Submit(request, _arrivedMs);
    }

    /// <summary>Goes on with a search that has found only the other kind, unless its caller was answered by an interrupt.</summary>
    /// <returns>True when the slot is in use for the next question.</returns>
    private bool ContinueSearch(BlockRequest request, in FuseRequestState slot)
    {
        long end = request.Offset + request.StatusLength;
        if (request.Error != 0 || request.IsAbandoned || _ended || IsFound(request, slot) || end <= request.Offset || end >= _size)
        {
            return false;
        }

        request.Reset();
        request.Owner = this;
        request.Token = slot.Unique;
        Ask(request, end);
        return true;
    }

    private void AnswerSearch(BlockRequest request, in FuseRequestState slot)
    {
        long found = Math.Max(request.Offset, slot.SeekFrom);
        if (request.Error == 0 && !IsFound(request, slot))
        {
            // To the very end it is of the other kind. Behind the last byte is the hole that every file has, and no data.
            if (!slot.SeeksHole)
            {
                Answer(slot.Buffer, slot.Unique, Errno.ENXIO);
                return;
            }

            found = _size;
        }
        else if (request.Error != 0 && slot.SeeksHole)
        {
            // A server that cannot tell: all may be data, which is never wrong.
            found = _size;
        }

        AnswerWith(slot.Buffer, slot.Unique, new FuseLseekOut { Offset = (ulong)found }, 8);
    }

    // A status of no length would go on for ever; it is a device's mistake, and counts as data.
    private static bool IsFound(BlockRequest request, in FuseRequestState slot) =>
        request.StatusLength <= 0 ? !slot.SeeksHole : ((request.Status & BlockStatus.Zero) != 0) == slot.SeeksHole;
}
