using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace NbdFuse.Native;

/// <summary>
/// A preallocated array of struct iovec for vectored calls. It holds plain addresses: all memory added must be native
/// (<see cref="NativeBuffer"/>, <see cref="NativeRegion"/>) or pinned until the last call that uses the list has returned.
/// Not thread-safe.
/// </summary>
public sealed unsafe class IoVectorList : IDisposable
{
    /// <summary>The most vectors that the kernel takes in one call (IOV_MAX).</summary>
    public const int MaximumCapacity = 1024;

    private IoVector* _vectors;
    private int _start;
    private int _end;

    /// <summary>Makes an empty list.</summary>
    /// <param name="capacity">Vectors, 1 to <see cref="MaximumCapacity"/>.</param>
    public IoVectorList(int capacity)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(capacity, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(capacity, MaximumCapacity);
        Capacity = capacity;
        // SAFETY: owned by this object, freed once in Dispose or the finalizer.
        _vectors = (IoVector*)NativeMemory.AllocZeroed((nuint)capacity, (nuint)sizeof(IoVector));
    }

    /// <summary>Frees the array of a list that was not disposed.</summary>
    ~IoVectorList()
    {
        Free();
    }

    /// <summary>How many vectors fit.</summary>
    public int Capacity { get; }

    /// <summary>Vectors not yet advanced over.</summary>
    public int Count => _end - _start;

    /// <summary>Bytes not yet advanced over.</summary>
    public long TotalBytes { get; private set; }

    /// <summary>Whether no further vector fits before <see cref="Clear"/>.</summary>
    public bool IsFull => _end == Capacity;

    internal IoVector* Head => _vectors + _start;

    /// <summary>Forgets all vectors.</summary>
    public void Clear()
    {
        _start = 0;
        _end = 0;
        TotalBytes = 0;
    }

    /// <summary>Appends a vector. An empty one is ignored; one that directly follows the last in memory is joined to it.</summary>
    /// <param name="nativeMemory">Native or pinned memory, see the remarks of the class.</param>
    /// <exception cref="InvalidOperationException">The list is full.</exception>
    public void Add(ReadOnlySpan<byte> nativeMemory)
    {
        if (nativeMemory.IsEmpty)
        {
            return;
        }

        // SAFETY: the address stays valid because the caller promised native or pinned memory.
        byte* address = (byte*)Unsafe.AsPointer(ref MemoryMarshal.GetReference(nativeMemory));
        if (_end > _start && _vectors[_end - 1].Base + _vectors[_end - 1].Length == address)
        {
            _vectors[_end - 1].Length += (nuint)nativeMemory.Length;
            TotalBytes += nativeMemory.Length;
            return;
        }

        if (IsFull)
        {
            throw new InvalidOperationException("The vector list is full.");
        }

        _vectors[_end].Base = address;
        _vectors[_end].Length = (nuint)nativeMemory.Length;
        _end++;
        TotalBytes += nativeMemory.Length;
    }

    /// <summary>Drops bytes that a call has taken from the front.</summary>
    /// <param name="bytes">0 to <see cref="TotalBytes"/>.</param>
    public void Advance(int bytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(bytes, TotalBytes);
        TotalBytes -= bytes;
        nuint left = (nuint)bytes;
        while (left > 0)
        {
            ref IoVector head = ref _vectors[_start];
            if (left < head.Length)
            {
                head.Base += left;
                head.Length -= left;
                return;
            }

            left -= head.Length;
            _start++;
        }

        if (_start == _end)
        {
            Clear();
        }
    }

    /// <summary>Frees the array.</summary>
    public void Dispose()
    {
        Free();
        GC.SuppressFinalize(this);
    }

    private void Free()
    {
        NativeMemory.Free(_vectors);
        _vectors = null;
        Clear();
    }
}
