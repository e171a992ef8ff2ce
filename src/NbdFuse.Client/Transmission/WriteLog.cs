using NbdFuse.Block;
using NbdFuse.Native;

namespace NbdFuse.Client.Transmission;

/// <summary>
/// The changes that a server has acknowledged and that no FLUSH covers yet, in the order of acknowledgement: what a server
/// that crashes may forget, and gets again.
/// </summary>
/// <remarks>
/// An entry leaves by <see cref="ReleaseUntil"/> only, oldest first. Room is set aside before a change is sent
/// (<see cref="TryReserve"/>), so that its acknowledgement always finds a place: the log bounds what is under way.
/// MEMORY: payloads are copied into one native ring of fixed size, entries into one array of fixed length. Nothing is
/// allocated after construction, but by <see cref="Plan"/>.
/// THREADING: the export's loop, except for <see cref="Bytes"/>.
/// </remarks>
internal sealed class WriteLog : IDisposable
{
    /// <summary>Smallest log, in bytes: half of it still takes a request of any minimum block.</summary>
    public const int SmallestBytes = 256 * 1024;

    /// <summary>Largest log, in bytes.</summary>
    public const int LargestBytes = 1 << 30;

    private const int Granularity = 64 * 1024;

    /// <summary>Bytes of payload for each entry that has a place: smaller requests fill the entries first.</summary>
    private const int BytesPerEntry = 2048;

    private readonly NativeBuffer _arena;
    private readonly int _unit;
    private readonly WriteLogEntry[] _entries;
    private long _head;
    private long _tail;
    private long _bytesReserved;
    private int _entriesReserved;

    /// <summary>Makes an empty log.</summary>
    /// <param name="bytes">Most bytes of payload; rounded up to whole 64 KiB.</param>
    /// <param name="block">Minimum block of the export, in bytes: payloads start at a multiple of it in the arena.</param>
    public WriteLog(long bytes, int block)
    {
        Capacity = (int)((Math.Clamp(bytes, SmallestBytes, LargestBytes) + Granularity - 1) / Granularity * Granularity);
        _unit = block;
        _arena = NativeBuffer.Allocate(Capacity);
        _entries = new WriteLogEntry[Capacity / BytesPerEntry];
    }

    /// <summary>Most bytes of payload.</summary>
    public int Capacity { get; }

    /// <summary>Longest WRITE that the log takes, in bytes: half of it, so that one does not wait for all others.</summary>
    public int MaximumPayload => Capacity / 2 / Granularity * Granularity;

    /// <summary>Bytes of payload in the log. May be asked on any thread.</summary>
    public long Bytes => Math.Max(0, Volatile.Read(ref _tail) - Volatile.Read(ref _head));

    /// <summary>Number of entries that were ever made.</summary>
    public long Appended { get; private set; }

    /// <summary>Number of entries that have left: the number of the oldest one that is there.</summary>
    public long Released { get; private set; }

    /// <summary>Entries in the log.</summary>
    public int Count => (int)(Appended - Released);

    /// <summary>Time for a FLUSH: half of the room is taken.</summary>
    public bool IsHalfFull => _tail - _head >= Capacity / 2 || Count >= _entries.Length / 2;

    /// <summary>Sets room aside for a change that is about to be sent.</summary>
    /// <param name="request">A Write, WriteZeroes or Trim; a Write is no longer than <see cref="MaximumPayload"/>.</param>
    /// <returns>False when the log is full: a FLUSH has to come first.</returns>
    public bool TryReserve(BlockRequest request)
    {
        long bytes = SizeOf(request);
        if (_tail - _head + _bytesReserved + bytes > Capacity || Count + _entriesReserved >= _entries.Length)
        {
            return false;
        }

        _bytesReserved += bytes;
        _entriesReserved++;
        return true;
    }

    /// <summary>Gives the room back: the change was not acknowledged.</summary>
    /// <param name="request">A request for which room was set aside.</param>
    public void Unreserve(BlockRequest request)
    {
        _bytesReserved -= SizeOf(request);
        _entriesReserved--;
    }

    /// <summary>Makes the entry of a change that was acknowledged, and copies its payload.</summary>
    /// <param name="request">A request for which room was set aside.</param>
    public void Append(BlockRequest request)
    {
        Unreserve(request);
        if (Count == 0)
        {
            // Few pages stay warm, when FLUSHes come often.
            _head = 0;
            Volatile.Write(ref _tail, 0);
        }

        ref WriteLogEntry entry = ref _entries[(int)(Appended % _entries.Length)];
        entry.Offset = request.Offset;
        entry.Length = request.Length;
        entry.Position = _tail;
        entry.Operation = request.Operation;
        entry.NoHole = (request.Flags & BlockRequestFlags.NoHole) != 0;
        if (request.Operation == BlockOperation.Write)
        {
            ReadOnlySpan<byte> payload = request.Buffer.Span;
            int place = (int)(_tail % Capacity);
            int untilEnd = Math.Min(payload.Length, Capacity - place);
            payload[..untilEnd].CopyTo(_arena.Span[place..]);
            payload[untilEnd..].CopyTo(_arena.Span);
            Volatile.Write(ref _tail, _tail + SizeOf(request));
        }

        Appended++;
    }

    /// <summary>Takes out the entries that a FLUSH has made durable.</summary>
    /// <param name="appended"><see cref="Appended"/> at the time when the FLUSH was sent.</param>
    public void ReleaseUntil(long appended)
    {
        if (appended <= Released)
        {
            return;
        }

        Released = Math.Min(appended, Appended);
        Volatile.Write(ref _head, Count == 0 ? _tail : _entries[(int)(Released % _entries.Length)].Position);
    }

    /// <summary>
    /// What has to be written again so that all entries are in effect: the latest content of each byte, without what was
    /// trimmed later. The pieces are disjoint, so that no two of them can be executed in the wrong order.
    /// </summary>
    public List<ReplayPiece> Plan()
    {
        List<ReplayPiece> plan = [];
        List<(long Start, long End)> news = [];
        RangePainter painter = new(Count);
        for (long index = Released; index < Appended; index++)
        {
            ref WriteLogEntry entry = ref _entries[(int)(index % _entries.Length)];
            painter.Announce(entry.Offset, entry.Offset + entry.Length);
        }

        for (long index = Appended - 1; index >= Released; index--)
        {
            ref WriteLogEntry entry = ref _entries[(int)(index % _entries.Length)];
            news.Clear();
            painter.Paint(entry.Offset, entry.Offset + entry.Length, news);
            if (entry.Operation == BlockOperation.Trim)
            {
                continue;
            }

            foreach ((long start, long end) in news)
            {
                if (entry.Operation == BlockOperation.WriteZeroes)
                {
                    plan.Add(new ReplayPiece(start, end - start, -1, entry.NoHole));
                    continue;
                }

                // Cut where the ring starts anew, which is at a whole block.
                int place = (int)((entry.Position + (start - entry.Offset)) % Capacity);
                long first = Math.Min(end - start, Capacity - place);
                plan.Add(new ReplayPiece(start, first, place, NoHole: false));
                if (first < end - start)
                {
                    plan.Add(new ReplayPiece(start + first, end - start - first, 0, NoHole: false));
                }
            }
        }

        // The oldest first, as they were asked for.
        plan.Reverse();
        return plan;
    }

    /// <summary>Whether the content of a range depends on an entry.</summary>
    /// <param name="start">First byte.</param>
    /// <param name="end">First byte after it.</param>
    public bool Touches(long start, long end)
    {
        for (long index = Released; index < Appended; index++)
        {
            ref WriteLogEntry entry = ref _entries[(int)(index % _entries.Length)];
            if (entry.Offset < end && start < entry.Offset + entry.Length)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>The payload of a piece; valid while its entry is in the log.</summary>
    /// <param name="piece">A piece with payload.</param>
    public Memory<byte> PayloadOf(in ReplayPiece piece) => _arena.Memory.Slice(piece.Payload, (int)piece.Length);

    /// <inheritdoc/>
    public void Dispose() => _arena.Dispose();

    private long SizeOf(BlockRequest request) =>
        request.Operation == BlockOperation.Write ? (request.Length + _unit - 1) & ~(_unit - 1L) : 0;
}
