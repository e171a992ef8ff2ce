using System.Runtime.CompilerServices;
using NbdFuse.Native;

namespace NbdFuse.Fuse;

/// <summary>
/// The buffers into which /dev/fuse is read and from which READs are answered: one per request in flight, page aligned,
/// in one shared mapping that another process can take over.
/// </summary>
/// <remarks>
/// Layout of a buffer, in bytes:
/// <code>
/// 0                    4016        4056       4080         4096                    4096 + 1 MiB
/// | small replies      | in_header | operation            | payload
///                                             | out_header | payload of a READ reply
/// </code>
/// A WRITE arrives with its data page aligned; a READ is answered by one write(2) from 4080; and no reply touches the
/// header and the range of the request (its lock owner and file flags only), so that a request can be found again in the
/// mapping for as long as it is not answered.
/// Last in, first out: the resident memory follows the number of requests in flight, not the number of buffers.
/// THREADING: the loop's thread only.
/// </remarks>
public sealed class FuseBuffers : IDisposable
{
    /// <summary>Largest payload in bytes: 1 MiB, what the kernel sends at most with 256 pages.</summary>
    public const int MaximumPayload = 1 << 20;

    /// <summary>Bytes in front of the payload.</summary>
    public const int HeaderPage = 4096;

    /// <summary>Bytes of fuse_in_header and fuse_write_in: what precedes the data of a WRITE.</summary>
    public const int WriteHeader = 80;

    /// <summary>Bytes of fuse_out_header.</summary>
    public const int ReplyHeader = 16;

    /// <summary>Offset at which a request is read.</summary>
    public const int RequestOffset = HeaderPage - WriteHeader;

    /// <summary>Bytes for a reply that is composed in front of the request.</summary>
    public const int SmallReply = RequestOffset;

    private const int Stride = HeaderPage + MaximumPayload;

    private readonly NativeRegion _region;
    private readonly bool _ownsRegion;
    private readonly int[] _free;
    private int _freeCount;

    /// <summary>Makes the buffers in a mapping of their own.</summary>
    /// <param name="count">How many, at least 1.</param>
    public FuseBuffers(int count)
        : this(NativeRegion.Create("nbdfuse-requests", BytesFor(count)), count)
    {
        _ownsRegion = true;
    }

    /// <summary>Makes the buffers in a mapping of somebody else, at its start.</summary>
    /// <param name="region">The mapping, at least <see cref="BytesFor"/> bytes; it outlives the buffers.</param>
    /// <param name="count">How many, at least 1.</param>
    public FuseBuffers(NativeRegion region, int count)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(region.Length, BytesFor(count));
        _region = region;
        _free = new int[count];
        for (int i = 0; i < count; i++)
        {
            _free[count - 1 - i] = i;
        }

        _freeCount = count;
    }

    /// <summary>How many buffers there are.</summary>
    public int Count => _free.Length;

    /// <summary>How many are free.</summary>
    public int Free => _freeCount;

    /// <summary>Length of the mapping that a number of buffers needs.</summary>
    /// <param name="count">Number of buffers.</param>
    public static long BytesFor(int count) => (long)count * Stride;

    /// <summary>Takes the buffer that was given back last.</summary>
    /// <param name="index">Its number.</param>
    /// <returns>False when none is free.</returns>
    public bool TryRent(out int index)
    {
        if (_freeCount == 0)
        {
            index = -1;
            return false;
        }

        index = _free[--_freeCount];
        return true;
    }

    /// <summary>Gives a buffer back.</summary>
    /// <param name="index">Its number.</param>
    public void Return(int index) => _free[_freeCount++] = index;

    /// <summary>
    /// The room for the next request. Its first four bytes, where the length of a request stands, are zero: whoever finds
    /// the mapping after our death sees that nothing was read here.
    /// </summary>
    /// <param name="index">Number of the buffer.</param>
    /// <param name="maximumWrite">Negotiated largest payload in bytes.</param>
    public Span<byte> PrepareRequest(int index, int maximumWrite)
    {
        Span<byte> request = _region.Span(Start(index) + RequestOffset, WriteHeader + maximumWrite);
        Unsafe.WriteUnaligned(ref request[0], 0);
        return request;
    }

    /// <summary>A request that was read.</summary>
    /// <param name="index">Number of the buffer.</param>
    /// <param name="length">Bytes read.</param>
    public ReadOnlySpan<byte> Request(int index, int length) => _region.Span(Start(index) + RequestOffset, length);

    /// <summary>Room for a small reply, header included, that leaves the request alone.</summary>
    /// <param name="index">Number of the buffer.</param>
    /// <param name="length">Bytes, up to <see cref="SmallReply"/>.</param>
    public Span<byte> Reply(int index, int length) => _region.Span(Start(index), length);

    /// <summary>Header and payload of the reply to a READ.</summary>
    /// <param name="index">Number of the buffer.</param>
    /// <param name="payload">Bytes of payload.</param>
    public Span<byte> ReadReply(int index, int payload) =>
        _region.Span(Start(index) + HeaderPage - ReplyHeader, ReplyHeader + payload);

    /// <summary>The payload, as devices take it.</summary>
    /// <param name="index">Number of the buffer.</param>
    /// <param name="length">Bytes, up to <see cref="MaximumPayload"/>.</param>
    public Memory<byte> Payload(int index, int length) => _region.Slice(Start(index) + HeaderPage, length);

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_ownsRegion)
        {
            _region.Dispose();
        }
    }

    private static long Start(int index) => (long)index * Stride;
}
