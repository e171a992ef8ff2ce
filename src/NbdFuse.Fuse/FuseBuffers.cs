using System.Numerics;
using System.Runtime.InteropServices;
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
/// mapping for as long as it is not answered: its first bytes are a <see cref="FuseSlotRecord"/>, and a process that follows a
/// dead one takes the mapping over with all that is <see cref="Left"/> in it.
/// Completions come in any order, so buffers chosen by chance would all have carried a large payload after a while, and
/// would keep its pages. A request is therefore read into a buffer that is large already, and a small one is moved out of
/// it (<see cref="MoveSmall"/>): as many buffers grow as large requests are in flight. The lowest number wins, and
/// <see cref="Trim"/> gives the pages of large buffers back when they have not been needed for a while. Buffers that were
/// <see cref="Pin"/>ned have their pages from the start, and for ever.
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

    /// <summary>Payload in bytes up to which a request is small: cheap to copy, and its pages are kept.</summary>
    public const int SmallPayload = 16 * 1024;

    /// <summary>Buffers that keep their pages whatever they carried: 4 MiB.</summary>
    public const int Kept = 4;

    private const int Stride = HeaderPage + MaximumPayload;
    private const int BitsPerWord = 64;

    private readonly NativeRegion _region;
    private readonly bool _ownsRegion;
    private int[] _left = [];

    // One bit per buffer. Large: it carried more than SmallPayload since its pages were given back; never one of the kept.
    private readonly ulong[] _free;
    private readonly ulong[] _large;
    private int _freeCount;
    private int _pinned;

    /// <summary>Makes the buffers in a mapping of their own.</summary>
    /// <param name="count">How many, at least 1.</param>
    public FuseBuffers(int count)
        : this(NativeRegion.Create("nbdfuse-requests", BytesFor(count)), count, ownsRegion: true)
    {
    }

    /// <summary>Makes the buffers in a mapping of somebody else, at its start.</summary>
    /// <param name="region">The mapping, at least <see cref="BytesFor"/> bytes; it outlives the buffers.</param>
    /// <param name="count">How many, at least 1.</param>
    public FuseBuffers(NativeRegion region, int count)
        : this(region, count, ownsRegion: false)
    {
    }

    private FuseBuffers(NativeRegion region, int count, bool ownsRegion)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(region.Length, BytesFor(count));
        _region = region;
        _ownsRegion = ownsRegion;
        _free = new ulong[(count + BitsPerWord - 1) / BitsPerWord];
        _large = new ulong[_free.Length];
        for (int i = 0; i < count; i++)
        {
            _free[i / BitsPerWord] |= Bit(i);
        }

        Count = count;
        _freeCount = count;
    }

    /// <summary>How many buffers there are.</summary>
    public int Count { get; }

    /// <summary>The memory, to hand it on; it belongs to this object.</summary>
    public FileDescriptor Descriptor => _region.FileDescriptor;

    /// <summary>
    /// Buffers with a request that a dead process had taken, in the order in which the kernel numbered them. They are in use: each is
    /// to be answered or found answered, and given back.
    /// </summary>
    public ReadOnlySpan<int> Left => _left;

    /// <summary>How many are free.</summary>
    public int Free => _freeCount;

    /// <summary>Bytes of memory that the mapping occupies at present, whoever uses it.</summary>
    public long ResidentBytes =>
        Posix.Fstat(_region.FileDescriptor.Value, out FileStatus status) < 0 ? 0 : status.Blocks * 512;

    /// <summary>Takes the mapping of a process that has died, with all of its threads.</summary>
    /// <param name="memory">Its memory; belongs to the buffers from here on.</param>
    /// <param name="count">How many buffers are wanted, at least 1.</param>
    /// <returns>The buffers; null when the mapping was made for another number of them, or by another version.</returns>
    /// <exception cref="PosixException">It cannot be mapped.</exception>
    public static FuseBuffers? Adopt(FileDescriptor memory, int count)
    {
        NativeRegion region = NativeRegion.Adopt(memory);
        if (region.Length != BytesFor(count))
        {
            region.Dispose();
            return null;
        }

        var buffers = new FuseBuffers(region, count, ownsRegion: true);
        buffers.FindLeft();
        return buffers;
    }

    /// <summary>Length of the mapping that a number of buffers needs.</summary>
    /// <param name="count">Number of buffers.</param>
    public static long BytesFor(int count) => (long)count * Stride;

    /// <summary>
    /// Allocates pages now: all of some buffers, which then take the large payloads, and of the others what a small payload
    /// needs. Whoever serves a device that memory is freed by must not need memory for that. Before the first request.
    /// </summary>
    /// <param name="count">Buffers that get all their pages, 1 MiB each; 0 to <see cref="Count"/>.</param>
    public void Pin(int count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(count, Count);
        int page = Posix.GetPageSize();
        for (int index = 0; index < Count; index++)
        {
            int length = index < count ? Stride : HeaderPage + SmallPayload;
            for (int offset = 0; offset < length; offset += page)
            {
                _region.Span(Start(index) + offset, 1)[0] = 0;
            }

            if (index < count)
            {
                _large[index / BitsPerWord] |= Bit(index);
            }
        }

        _pinned = count;
    }

    /// <summary>
    /// Allocates the pages of every buffer for payloads of a length, for ever: the system call of a process that is being killed
    /// fails where it meets a page that is not there yet, and the kernel takes that for the answer. Before the first request; what
    /// lies in the buffers stays.
    /// </summary>
    /// <param name="payload">Bytes of the largest payload that will come, 0 to <see cref="MaximumPayload"/>.</param>
    public void PinAll(int payload)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(payload);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(payload, MaximumPayload);
        int page = Posix.GetPageSize();
        for (int index = 0; index < Count; index++)
        {
            for (int offset = 0; offset < HeaderPage + payload; offset += page)
            {
                // Written, since a page that was only read may yet be another one when it is written.
                ref byte first = ref _region.Span(Start(index) + offset, 1)[0];
                Volatile.Write(ref first, Volatile.Read(ref first));
            }
        }

        _pinned = Count;
    }

    /// <summary>Takes a buffer to read into: the first that is large already, or else the first.</summary>
    /// <param name="index">Its number.</param>
    /// <returns>False when none is free.</returns>
    public bool TryRent(out int index)
    {
        if (_freeCount == 0)
        {
            index = -1;
            return false;
        }

        int first = -1;
        for (int word = 0; word < _free.Length; word++)
        {
            ulong large = _free[word] & _large[word];
            if (large != 0)
            {
                index = Take((word * BitsPerWord) + BitOperations.TrailingZeroCount(large));
                return true;
            }

            if (first < 0 && _free[word] != 0)
            {
                first = (word * BitsPerWord) + BitOperations.TrailingZeroCount(_free[word]);
            }
        }

        index = Take(first);
        return true;
    }

    /// <summary>
    /// Notes how much payload the request that was read has, and moves a small one out of a large buffer while there is
    /// one that is not.
    /// </summary>
    /// <param name="index">Number of the buffer that it was read into.</param>
    /// <param name="length">Bytes read.</param>
    /// <param name="payload">Bytes of payload that arrived or will be asked for, up to <see cref="MaximumPayload"/>.</param>
    /// <returns>Number of the buffer that it is in now; another one has been given back then.</returns>
    public int MoveSmall(int index, int length, int payload)
    {
        ulong bit = Bit(index);
        ref ulong large = ref _large[index / BitsPerWord];
        if (payload > SmallPayload)
        {
            large |= index >= Kept ? bit : 0;
            return index;
        }

        if ((large & bit) == 0 || length is < sizeof(int) or > WriteHeader + SmallPayload)
        {
            return index;
        }

        for (int word = 0; word < _free.Length; word++)
        {
            ulong small = _free[word] & ~_large[word];
            if (small != 0)
            {
                int better = Take((word * BitsPerWord) + BitOperations.TrailingZeroCount(small));

                // The length comes last: who finds the mapping after our death must not take half of a request for one.
                Request(index, length)[sizeof(int)..].CopyTo(_region.Span(Start(better) + RequestOffset, length)[sizeof(int)..]);
                Volatile.Write(ref LengthOf(better), LengthOf(index));
                Return(index);
                return better;
            }
        }

        return index;
    }

    /// <summary>
    /// Gives a buffer back. The length of its request becomes zero: whoever finds the mapping after our death must not take
    /// what was answered for something in flight, and write it a second time.
    /// </summary>
    /// <param name="index">Its number.</param>
    public void Return(int index)
    {
        Forget(index);
        _free[index / BitsPerWord] |= Bit(index);
        _freeCount++;
    }

    /// <summary>Marks the request of a buffer as answered, though the buffer is still in use.</summary>
    /// <param name="index">Number of the buffer.</param>
    public void Forget(int index) => Volatile.Write(ref LengthOf(index), 0);

    /// <summary>Gives the pages of free large buffers back. Not for the path of a request: it is one system call per buffer.</summary>
    /// <param name="maximum">Most buffers to do.</param>
    /// <returns>How many large buffers remain, those that are in use included.</returns>
    public int Trim(int maximum)
    {
        int remaining = 0;
        for (int word = 0; word < _large.Length; word++)
        {
            for (ulong bits = _large[word]; bits != 0; bits &= bits - 1)
            {
                int index = (word * BitsPerWord) + BitOperations.TrailingZeroCount(bits);
                if (index < _pinned)
                {
                    continue;
                }

                if (maximum == 0 || (_free[word] & Bit(index)) == 0)
                {
                    remaining++;
                    continue;
                }

                maximum--;
                _large[word] &= ~Bit(index);

                // Best effort: where it is refused, memory stays in use and nothing else happens.
                _ = Posix.Fallocate(
                    _region.FileDescriptor.Value, Posix.FallocatePunchHole | Posix.FallocateKeepSize, Start(index), Stride);
            }
        }

        return remaining;
    }

    /// <summary>
    /// The room for the next request. Its first four bytes, where the length of a request stands, are zero: whoever finds
    /// the mapping after our death sees that nothing was read here.
    /// </summary>
    /// <param name="index">Number of the buffer.</param>
    /// <param name="maximumWrite">Negotiated largest payload in bytes.</param>
    public Span<byte> PrepareRequest(int index, int maximumWrite)
    {
        Span<byte> request = _region.Span(Start(index) + RequestOffset, WriteHeader + maximumWrite);
        Forget(index);
        return request;
    }

    /// <summary>What is recorded of the request in a buffer.</summary>
    /// <param name="index">Number of the buffer.</param>
    public FuseSlotRecord Record(int index) =>
        MemoryMarshal.Read<FuseSlotRecord>(_region.Span(Start(index) + RequestOffset, FuseSlotRecord.Bytes));

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

    private void FindLeft()
    {
        List<(ulong Unique, int Index)> left = [];
        for (int index = 0; index < Count; index++)
        {
            FuseSlotRecord record = Record(index);
            if (record.Length is >= FuseSlotRecord.HeaderBytes and <= WriteHeader + MaximumPayload)
            {
                Take(index);
                left.Add((record.Unique & ~FuseSlotRecord.ResendBit, index));
            }
            else
            {
                Forget(index);
            }
        }

        left.Sort();
        _left = [.. left.Select(request => request.Index)];
    }

    private int Take(int index)
    {
        _free[index / BitsPerWord] &= ~Bit(index);
        _freeCount--;
        return index;
    }

    private ref int LengthOf(int index) => ref MemoryMarshal.AsRef<int>(_region.Span(Start(index) + RequestOffset, sizeof(int)));

    private static ulong Bit(int index) => 1UL << (index % BitsPerWord);

    private static long Start(int index) => (long)index * Stride;
}
