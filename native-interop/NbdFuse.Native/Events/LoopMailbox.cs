using System.Diagnostics.CodeAnalysis;
using System.Numerics;

namespace NbdFuse.Native;

/// <summary>
/// A bounded ring of objects from any number of threads to one event loop. Lock-free: a cell's sequence number tells whether
/// it is free, filled or being filled, so producers contend only for the position. Nothing is allocated after construction.
/// </summary>
/// <remarks>
/// THREADING: <see cref="TryPost"/> from any thread; <see cref="TryTake"/> only on the loop's thread, usually in a turn hook
/// until it returns false. Items of one producer keep their order.
/// </remarks>
/// <typeparam name="T">The messages.</typeparam>
public sealed class LoopMailbox<T>
    where T : class
{
    private readonly EventLoop _loop;
    private readonly Cell[] _cells;
    private readonly int _mask;
    private PaddedLong _tail;
    private PaddedLong _head;

    /// <summary>Makes an empty mailbox.</summary>
    /// <param name="loop">The loop that takes, and that a post wakes.</param>
    /// <param name="capacity">Items that fit; rounded up to a power of two, at least 2.</param>
    public LoopMailbox(EventLoop loop, int capacity)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(capacity, 1);
        _loop = loop;
        _cells = new Cell[(int)BitOperations.RoundUpToPowerOf2((uint)Math.Max(2, capacity))];
        _mask = _cells.Length - 1;
        for (int i = 0; i < _cells.Length; i++)
        {
            _cells[i].Sequence = i;
        }
    }

    /// <summary>How many items fit.</summary>
    public int Capacity => _cells.Length;

    /// <summary>Puts an item in and wakes the loop.</summary>
    /// <param name="item">The item.</param>
    /// <returns>False when the ring is full: the item still belongs to the caller.</returns>
    public bool TryPost(T item)
    {
        if (!TryPostQuietly(item))
        {
            return false;
        }

        _loop.Wake();
        return true;
    }

    /// <summary>
    /// Puts an item in without waking the loop: whoever posts several calls <see cref="EventLoop.Wake"/> once, behind the last.
    /// </summary>
    /// <param name="item">The item.</param>
    /// <returns>False when the ring is full: the item still belongs to the caller.</returns>
    public bool TryPostQuietly(T item)
    {
        long position = Volatile.Read(ref _tail.Value);
        while (true)
        {
            ref Cell cell = ref _cells[(int)position & _mask];
            long distance = Volatile.Read(ref cell.Sequence) - position;
            if (distance == 0)
            {
                long seen = Interlocked.CompareExchange(ref _tail.Value, position + 1, position);
                if (seen == position)
                {
                    cell.Item = item;
                    Volatile.Write(ref cell.Sequence, position + 1);
                    return true;
                }

                position = seen;
            }
            else if (distance < 0)
            {
                return false;
            }
            else
            {
                position = Volatile.Read(ref _tail.Value);
            }
        }
    }

    /// <summary>Takes the oldest item. A producer that is just filling its cell hides later ones; its own wake-up follows.</summary>
    /// <param name="item">The item, null when there is none.</param>
    /// <returns>Whether there was one.</returns>
    public bool TryTake([NotNullWhen(true)] out T? item)
    {
        long position = _head.Value;
        ref Cell cell = ref _cells[(int)position & _mask];
        if (Volatile.Read(ref cell.Sequence) != position + 1)
        {
            item = null;
            return false;
        }

        item = cell.Item!;
        cell.Item = null;
        Volatile.Write(ref cell.Sequence, position + _cells.Length);
        _head.Value = position + 1;
        return true;
    }

    private struct Cell
    {
        internal long Sequence;
        internal T? Item;
    }
}
