using NbdFuse.Block;

namespace NbdFuse.Client.Transmission;

/// <summary>
/// The commands that one connection has queued or sent and that have not ended: slots, found by cookie.
/// </summary>
/// <remarks>THREADING: the thread of the loop that owns the connection.</remarks>
internal sealed class InFlightTable
{
    private readonly InFlightSlot[] _slots;
    private readonly int[] _free;
    private int _freeCount;

    public InFlightTable(int capacity)
    {
        _slots = new InFlightSlot[capacity];
        _free = new int[capacity];
        for (int i = 0; i < capacity; i++)
        {
            _free[i] = capacity - 1 - i;
        }

        _freeCount = capacity;
    }

    public int Capacity => _slots.Length;

    public int Count => _slots.Length - _freeCount;

    public ref InFlightSlot this[int index] => ref _slots[index];

    /// <summary>The cookie of a slot in its present use: never equal to that of another command in flight.</summary>
    public ulong CookieOf(int index) => ((ulong)_slots[index].Generation << 32) | (uint)index;

    public bool TryAdd(BlockRequest request, out int index)
    {
        if (_freeCount == 0)
        {
            index = -1;
            return false;
        }

        index = _free[--_freeCount];
        ref InFlightSlot slot = ref _slots[index];
        slot.Request = request;
        slot.Generation++;
        slot.Error = 0;
        slot.HasChunks = false;
        slot.SentAt = long.MaxValue;
        slot.CoveredEnd = request.Offset;
        slot.Fragments?.Clear();
        return true;
    }

    /// <summary>Finds the command that a reply belongs to.</summary>
    /// <param name="cookie">Cookie of the reply.</param>
    /// <param name="sent">Bytes that the connection has sent.</param>
    /// <param name="index">The slot.</param>
    /// <returns>
    /// False when no command with this cookie is at the server. One that is sent in part is not there yet: ending it would
    /// free header and payload that the rest of the send still reads.
    /// </returns>
    public bool TryFind(ulong cookie, long sent, out int index)
    {
        index = (int)(cookie & 0xffffffff);
        if ((uint)index >= (uint)_slots.Length)
        {
            return false;
        }

        ref InFlightSlot slot = ref _slots[index];
        return slot.Request is not null && slot.SentAt <= sent && slot.Generation == (uint)(cookie >> 32);
    }

    public BlockRequest Remove(int index)
    {
        ref InFlightSlot slot = ref _slots[index];
        BlockRequest request = slot.Request!;
        slot.Request = null;
        if (slot.Fragments is { IsLarge: true })
        {
            // A server that scattered one reply must not cost memory for good.
            slot.Fragments = null;
        }

        _free[_freeCount++] = index;
        return request;
    }
}
