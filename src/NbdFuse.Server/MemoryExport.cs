using NbdFuse.Protocol;

namespace NbdFuse.Server;

/// <summary>A sparse disk in memory: only what was written takes room, in chunks of <see cref="ChunkSize"/>.</summary>
/// <remarks>
/// Lock-free: a chunk is published by compare-and-swap and replaced by null when it is punched. A write that races with
/// the punch of its chunk may land in the chunk that was dropped; as a whole chunk is dropped only when the punch covers
/// it, the two requests overlap, were in flight together, and "written, then punched" is a correct outcome.
/// </remarks>
public sealed class MemoryExport : IBackend
{
    /// <summary>Granularity of allocation, in bytes. Below the limit of the large object heap: freed chunks are reused soon.</summary>
    public const int ChunkSize = 64 * 1024;

    /// <summary>Largest size, in bytes: 1 PiB, whose directory is 16 MiB of untouched memory.</summary>
    public const long MaximumSize = 1L << 50;

    private const int ChunksPerTable = 8192;
    private readonly byte[]?[]?[] _tables;
    private long _chunks;

    /// <summary>Makes a disk of zeroes.</summary>
    /// <param name="size">Size in bytes, 0 to <see cref="MaximumSize"/>.</param>
    public MemoryExport(long size)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(size);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(size, MaximumSize);
        Size = size;
        const long PerTable = (long)ChunkSize * ChunksPerTable;
        _tables = new byte[]?[]?[(size + PerTable - 1) / PerTable];
    }

    /// <inheritdoc/>
    public long Size { get; }

    /// <inheritdoc/>
    public bool IsReadOnly => false;

    /// <summary>Bytes that are allocated now.</summary>
    public long AllocatedBytes => Interlocked.Read(ref _chunks) * ChunkSize;

    /// <inheritdoc/>
    public NbdError Read(long offset, Span<byte> buffer)
    {
        while (!buffer.IsEmpty)
        {
            int within = (int)(offset % ChunkSize);
            int count = Math.Min(ChunkSize - within, buffer.Length);
            byte[]? chunk = Find(offset / ChunkSize);
            if (chunk is null)
            {
                buffer[..count].Clear();
            }
            else
            {
                chunk.AsSpan(within, count).CopyTo(buffer);
            }

            offset += count;
            buffer = buffer[count..];
        }

        return NbdError.None;
    }

    /// <inheritdoc/>
    public NbdError Write(long offset, ReadOnlySpan<byte> data, bool fua)
    {
        try
        {
            while (!data.IsEmpty)
            {
                int within = (int)(offset % ChunkSize);
                int count = Math.Min(ChunkSize - within, data.Length);
                data[..count].CopyTo(Obtain(offset / ChunkSize).AsSpan(within));
                offset += count;
                data = data[count..];
            }

            return NbdError.None;
        }
        catch (OutOfMemoryException)
        {
            return NbdError.NoMem;
        }
    }

    /// <inheritdoc/>
    public NbdError Flush() => NbdError.None;

    /// <inheritdoc/>
    public NbdError Trim(long offset, long length, bool fua) => Zero(offset, length, noHole: false, fast: false, fua);

    /// <inheritdoc/>
    public NbdError Zero(long offset, long length, bool noHole, bool fast, bool fua)
    {
        try
        {
            while (length > 0)
            {
                int within = (int)(offset % ChunkSize);
                int count = (int)Math.Min(ChunkSize - within, length);
                long index = offset / ChunkSize;
                if (noHole)
                {
                    Obtain(index).AsSpan(within, count).Clear();
                }
                else if (count == ChunkSize)
                {
                    Drop(index);
                }
                else
                {
                    Find(index)?.AsSpan(within, count).Clear();
                }

                offset += count;
                length -= count;
            }

            return NbdError.None;
        }
        catch (OutOfMemoryException)
        {
            return NbdError.NoMem;
        }
    }

    /// <inheritdoc/>
    public NbdError Cache(long offset, long length) => NbdError.None;

    /// <inheritdoc/>
    public long NextExtent(long offset, long length, out bool isHole)
    {
        isHole = Find(offset / ChunkSize) is null;
        long end = offset + length;
        long next = ((offset / ChunkSize) + 1) * ChunkSize;
        while (next < end && (Find(next / ChunkSize) is null) == isHole)
        {
            next += ChunkSize;
        }

        return Math.Min(next, end) - offset;
    }

    /// <inheritdoc/>
    public void Dispose() => Array.Clear(_tables);

    private byte[]? Find(long index)
    {
        byte[]?[]? table = Volatile.Read(ref _tables[index / ChunksPerTable]);
        return table is null ? null : Volatile.Read(ref table[index % ChunksPerTable]);
    }

    private byte[] Obtain(long index)
    {
        ref byte[]?[]? directory = ref _tables[index / ChunksPerTable];
        byte[]?[]? table = Volatile.Read(ref directory);
        if (table is null)
        {
            byte[]?[] fresh = new byte[]?[ChunksPerTable];
            table = Interlocked.CompareExchange(ref directory, fresh, null) ?? fresh;
        }

        ref byte[]? slot = ref table[index % ChunksPerTable];
        byte[]? chunk = Volatile.Read(ref slot);
        if (chunk is null)
        {
            byte[] fresh = new byte[ChunkSize];
            chunk = Interlocked.CompareExchange(ref slot, fresh, null);
            if (chunk is null)
            {
                Interlocked.Increment(ref _chunks);
                chunk = fresh;
            }
        }

        return chunk;
    }

    private void Drop(long index)
    {
        byte[]?[]? table = Volatile.Read(ref _tables[index / ChunksPerTable]);
        if (table is not null && Interlocked.Exchange(ref table[index % ChunksPerTable], null) is not null)
        {
            Interlocked.Decrement(ref _chunks);
        }
    }
}
