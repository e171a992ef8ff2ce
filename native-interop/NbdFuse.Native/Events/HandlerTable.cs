namespace NbdFuse.Native;

/// <summary>
/// Which handler serves which descriptor. The epoll data of a registration is its slot and the slot's generation: an event that
/// was collected before its handler was removed, even when the descriptor's number is in use again, finds a newer
/// generation and is dropped.
/// </summary>
internal sealed class HandlerTable
{
    private IEventHandler?[] _handlers = new IEventHandler?[16];
    private uint[] _generations = new uint[16];
    private int[] _free = new int[16];
    private int[] _slotOfFd = new int[64];
    private int _freeCount;
    private int _used;

    internal HandlerTable()
    {
        Array.Fill(_slotOfFd, -1);
    }

    /// <summary>Enters a handler.</summary>
    /// <returns>The epoll data of the registration.</returns>
    internal ulong Enter(int fd, IEventHandler handler)
    {
        if (SlotOf(fd) >= 0)
        {
            throw new InvalidOperationException($"Descriptor {fd} is already registered with the loop.");
        }

        int slot = _freeCount > 0 ? _free[--_freeCount] : _used++;
        if (slot >= _handlers.Length)
        {
            Array.Resize(ref _handlers, slot * 2);
            Array.Resize(ref _generations, slot * 2);
            Array.Resize(ref _free, slot * 2);
        }

        if (fd >= _slotOfFd.Length)
        {
            int old = _slotOfFd.Length;
            Array.Resize(ref _slotOfFd, Math.Max(fd + 1, old * 2));
            Array.Fill(_slotOfFd, -1, old, _slotOfFd.Length - old);
        }

        _handlers[slot] = handler;
        _slotOfFd[fd] = slot;
        return Token(slot);
    }

    /// <summary>The epoll data of a registered descriptor.</summary>
    internal ulong TokenOf(int fd)
    {
        int slot = SlotOf(fd);
        return slot >= 0 ? Token(slot) : throw new InvalidOperationException($"Descriptor {fd} is not registered with the loop.");
    }

    /// <summary>Forgets a handler; all events of this registration are void from here on.</summary>
    /// <returns>Whether there was one.</returns>
    internal bool Leave(int fd)
    {
        int slot = SlotOf(fd);
        if (slot < 0)
        {
            return false;
        }

        _handlers[slot] = null;
        _generations[slot]++;
        _slotOfFd[fd] = -1;
        _free[_freeCount++] = slot;
        return true;
    }

    /// <summary>The handler of an event, or null when its registration is gone.</summary>
    internal IEventHandler? Find(ulong token)
    {
        int slot = (int)(uint)token;
        return slot < _used && _generations[slot] == (uint)(token >> 32) ? _handlers[slot] : null;
    }

    private int SlotOf(int fd)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(fd);
        return fd < _slotOfFd.Length ? _slotOfFd[fd] : -1;
    }

    private ulong Token(int slot) => ((ulong)_generations[slot] << 32) | (uint)slot;
}
