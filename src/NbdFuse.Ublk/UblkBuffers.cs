using NbdFuse.Native;

namespace NbdFuse.Ublk;

/// <summary>
/// Payload memory: a buffer for each tag, and one more, which takes what nobody will look at while everything is being failed.
/// </summary>
/// <remarks>
/// OWNERSHIP: the kernel copies into the buffer of a tag before it hands a WRITE out, and out of it when a READ is committed; in
/// between it belongs to the block request of the tag.
/// One shared mapping, like that of FUSE, and touched at once: the kernel must not have to find memory for us while it writes
/// pages out to get some.
/// </remarks>
internal sealed class UblkBuffers : IDisposable
{
    private readonly NativeRegion _region;
    private readonly int _depth;

    /// <summary>Makes the buffers.</summary>
    /// <param name="depth">Number of tags.</param>
    /// <param name="payloadBytes">Bytes of each.</param>
    /// <exception cref="PosixException">There is no memory.</exception>
    internal UblkBuffers(int depth, int payloadBytes)
    {
        _depth = depth;
        PayloadBytes = payloadBytes;
        _region = NativeRegion.Create("nbdfuse-ublk", (long)(depth + 1) * payloadBytes);
        for (int tag = 0; tag < depth; tag++)
        {
            Touch(_region.Span((long)tag * payloadBytes, payloadBytes));
        }
    }

    /// <summary>Bytes of a buffer.</summary>
    internal int PayloadBytes { get; }

    /// <summary>Address of the buffer of a tag.</summary>
    /// <param name="tag">Number of the tag.</param>
    internal nint Address(int tag) => _region.AddressOf((long)tag * PayloadBytes, PayloadBytes);

    /// <summary>Address of the buffer that nobody looks at. Its pages are there only when it was needed.</summary>
    internal nint ScrapAddress() => Address(_depth);

    /// <summary>The payload of a request.</summary>
    /// <param name="tag">Number of the tag.</param>
    /// <param name="length">Bytes, up to <see cref="PayloadBytes"/>.</param>
    internal Memory<byte> Payload(int tag, int length) => _region.Slice((long)tag * PayloadBytes, length);

    /// <inheritdoc/>
    public void Dispose() => _region.Dispose();

    private static void Touch(Span<byte> memory)
    {
        int page = Posix.GetPageSize();
        for (int i = 0; i < memory.Length; i += page)
        {
            memory[i] = 0;
        }
    }
}
