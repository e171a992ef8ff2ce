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
        slot.IsSent = false;
        slot.CoveredEnd = request.Offset;
        slot.Fragments?.Clear();
        return true;
    }

    /// <summary>Finds the command that a reply belongs to.</summary>
    /// <returns>False when no command with this cookie is at the server.</returns>
    public bool TryFind(ulong cookie, out int index)
    {
        index = (int)(cookie & 0xffffffff);
        if ((uint)index >= (uint)_slots.Length)
        {
            return false;
        }

        ref InFlightSlot slot = ref _slots[index];
        return slot.Request is not null && slot.IsSent && slot.Generation == (uint)(cookie >> 32);
    }

    public BlockRequest Remove(int index)
    {
        ref InFlightSlot slot = ref _slots[index];
        BlockRequest request = slot.Request!;
        slot.Request = null;
        _free[_freeCount++] = index;
        return request;
    }
}
