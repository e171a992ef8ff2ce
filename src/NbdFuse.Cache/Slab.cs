namespace NbdFuse.Cache;

/// <summary>
/// Numbered records that are rented and returned; grows when more are rented than ever before, otherwise allocates nothing.
/// </summary>
/// <typeparam name="T">The record.</typeparam>
internal sealed class Slab<T>
    where T : struct
{
    private T[] _items;
    private int[] _free;
    private int _freeCount;

    /// <summary>Makes the records.</summary>
    /// <param name="capacity">How many, 1 or more.</param>
    public Slab(int capacity)
    {
        _items = new T[capacity];
        _free = new int[capacity];
        AddFree(0);
    }

    /// <summary>Records that are rented.</summary>
    public int Rented => _items.Length - _freeCount;

    /// <summary>A record. The reference ends with the next <see cref="Rent"/>.</summary>
    /// <param name="id">Its number.</param>
    public ref T this[int id] => ref _items[id];

    /// <summary>Takes a record, cleared.</summary>
    /// <returns>Its number.</returns>
    public int Rent()
    {
        if (_freeCount == 0)
        {
            int old = _items.Length;
            Array.Resize(ref _items, old * 2);
            Array.Resize(ref _free, old * 2);
            AddFree(old);
        }

        int id = _free[--_freeCount];
        _items[id] = default;
        return id;
    }

    /// <summary>Gives a record back.</summary>
    /// <param name="id">Its number.</param>
    public void Return(int id) => _free[_freeCount++] = id;

    private void AddFree(int first)
    {
        for (int id = _items.Length - 1; id >= first; id--)
        {
            _free[_freeCount++] = id;
        }
    }
}
