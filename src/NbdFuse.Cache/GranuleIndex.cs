using System.Numerics;

namespace NbdFuse.Cache;

/// <summary>
/// Finds the slot of a granule: a hash table of fixed size, open addressing with linear probing, eight bytes per entry, so that
/// a search for something that is absent costs one line of the processor's cache as a rule.
/// </summary>
/// <remarks>THREADING: one thread. Nothing is allocated after the constructor.</remarks>
internal sealed class GranuleIndex
{
    // Upper half: 32 bits of the hash. Lower half: slot + 1; 0 is an empty entry.
    private readonly ulong[] _entries;
    private readonly long[] _keys;
    private readonly uint _mask;

    /// <summary>Makes an empty index.</summary>
    /// <param name="slots">Most granules in it, 1 or more.</param>
    public GranuleIndex(int slots)
    {
        uint size = BitOperations.RoundUpToPowerOf2((uint)slots) * 2;
        _entries = new ulong[size];
        _keys = new long[slots];
        _mask = size - 1;
    }

    /// <summary>Mixes a key into 64 bits, each of which depends on all of the key (the finaliser of splitmix64).</summary>
    /// <param name="key">Number of a granule.</param>
    public static ulong Hash(long key)
    {
        ulong x = (ulong)key + 0x9E3779B97F4A7C15;
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
        x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
        return x ^ (x >> 31);
    }

    /// <summary>The key of a slot that is in the index.</summary>
    /// <param name="slot">The slot.</param>
    public long Key(int slot) => _keys[slot];

    /// <summary>Finds a key.</summary>
    /// <param name="key">The key.</param>
    /// <param name="hash">Its hash.</param>
    /// <returns>Its slot, or -1.</returns>
    public int Find(long key, ulong hash)
    {
        uint tag = (uint)hash;
        for (uint position = tag & _mask; ; position = (position + 1) & _mask)
        {
            ulong entry = _entries[position];
            if (entry == 0)
            {
                return -1;
            }

            if ((uint)(entry >> 32) == tag)
            {
                int slot = (int)(uint)entry - 1;
                if (_keys[slot] == key)
                {
                    return slot;
                }
            }
        }
    }

    /// <summary>Enters a key that is absent.</summary>
    /// <param name="key">The key.</param>
    /// <param name="hash">Its hash.</param>
    /// <param name="slot">A slot that is not in the index.</param>
    public void Add(long key, ulong hash, int slot)
    {
        _keys[slot] = key;
        uint position = (uint)hash & _mask;
        while (_entries[position] != 0)
        {
            position = (position + 1) & _mask;
        }

        _entries[position] = ((ulong)(uint)hash << 32) | (uint)(slot + 1);
    }

    /// <summary>Takes a slot out.</summary>
    /// <param name="slot">A slot that is in the index.</param>
    public void Remove(int slot)
    {
        uint hole = (uint)Hash(_keys[slot]) & _mask;
        while ((uint)_entries[hole] != (uint)(slot + 1))
        {
            hole = (hole + 1) & _mask;
        }

        // Those behind move up, unless that would put one before the place where its search begins: no tombstones.
        for (uint position = (hole + 1) & _mask; _entries[position] != 0; position = (position + 1) & _mask)
        {
            uint home = (uint)(_entries[position] >> 32) & _mask;
            if (((position - home) & _mask) >= ((position - hole) & _mask))
            {
                _entries[hole] = _entries[position];
                hole = position;
            }
        }

        _entries[hole] = 0;
    }

    /// <summary>Takes everything out.</summary>
    public void Clear() => Array.Clear(_entries);
}
