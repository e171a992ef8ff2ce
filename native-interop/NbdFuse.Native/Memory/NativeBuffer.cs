using System.Buffers;
using System.Runtime.CompilerServices;

namespace NbdFuse.Native;

/// <summary>
/// A private anonymous mapping: page-aligned, zeroed, never moved by the collector. For receive buffers and the like.
/// Pages are allocated when first touched. There is no finalizer: the owner disposes it after the last user of its spans.
/// </summary>
public sealed unsafe class NativeBuffer : MemoryManager<byte>
{
    private byte* _address;
    private int _length;

    private NativeBuffer(byte* address, int length)
    {
        _address = address;
        _length = length;
    }

    /// <summary>Bytes asked for at the allocation; 0 after disposal.</summary>
    public int Length => _length;

    /// <summary>The whole buffer; empty after disposal.</summary>
    public Span<byte> Span
    {
        // SAFETY: the mapping lives until Dispose, which the owner calls after the last use.
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => new(_address, _length);
    }

    /// <summary>The address of the first byte, for system calls that take one.</summary>
    public nint Address => (nint)_address;

    /// <summary>Maps a buffer.</summary>
    /// <param name="length">Bytes, at least 1.</param>
    /// <exception cref="PosixException">The mapping failed.</exception>
    public static NativeBuffer Allocate(int length)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(length, 1);
        byte* address = Mapping.Map((nuint)length, Mapping.Private | Mapping.Anonymous, -1, "buffer");
        return new NativeBuffer(address, length);
    }

    /// <summary>Keeps the pages in memory (mlock).</summary>
    /// <returns>0 or a negative errno.</returns>
    public int Lock() => Mapping.Lock(_address, (nuint)_length);

    /// <summary>Unmaps the buffer. No span of it may be used afterwards.</summary>
    public void Dispose() => ((IDisposable)this).Dispose();

    /// <inheritdoc/>
    public override Span<byte> GetSpan() => Span;

    /// <inheritdoc/>
    public override MemoryHandle Pin(int elementIndex = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(elementIndex);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(elementIndex, _length);
        // Mappings do not move: nothing to undo.
        return new MemoryHandle(_address + elementIndex);
    }

    /// <inheritdoc/>
    public override void Unpin()
    {
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        byte* address = _address;
        int length = _length;
        _address = null;
        _length = 0;
        if (address != null)
        {
            Mapping.Unmap(address, (nuint)length);
        }
    }
}
