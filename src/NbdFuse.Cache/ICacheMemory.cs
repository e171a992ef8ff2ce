namespace NbdFuse.Cache;

/// <summary>
/// The memory of a <see cref="BlockCache"/>: one piece that never moves, as its parts are handed to system calls. Whoever joins the
/// parts of the program provides it, from a native mapping.
/// </summary>
/// <remarks>OWNERSHIP: it outlives the cache and every request that the cache has sent down.</remarks>
public interface ICacheMemory
{
    /// <summary>Bytes.</summary>
    long Length { get; }

    /// <summary>A part of it. Does not allocate.</summary>
    /// <param name="offset">Byte offset.</param>
    /// <param name="length">Bytes.</param>
    Memory<byte> Slice(long offset, int length);

    /// <summary>A part of it as a span.</summary>
    /// <param name="offset">Byte offset.</param>
    /// <param name="length">Bytes.</param>
    Span<byte> Span(long offset, int length);

    /// <summary>Gives the pages of a part back to the system, if that can be done; its content is worthless afterwards.</summary>
    /// <param name="offset">Byte offset, a multiple of 4096.</param>
    /// <param name="length">Bytes, a multiple of 4096.</param>
    void Release(long offset, long length)
    {
    }
}
