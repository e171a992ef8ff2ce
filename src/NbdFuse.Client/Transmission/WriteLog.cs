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
/// MEMORY: payloads are copied into one native ring of fixed size, entries into one array of fixed length; both may outlive this
/// process (<see cref="CreateShared"/>), and whoever finds them finds a whole log, at whichever instruction it was killed. Nothing
/// is allocated after construction, but by <see cref="Plan"/>.
/// THREADING: the export's loop, except for <see cref="Bytes"/>.
/// </remarks>
internal sealed class WriteLog : IDisposable
{
    /// <summary>Smallest log, in bytes: half of it still takes a request of any minimum block.</summary>
    public const int SmallestBytes = 256 * 1024;

    /// <summary>Largest log, in bytes.</summary>
    public const int LargestBytes = 1 << 30;

    private const int Granularity = 64 * 1024;

    private readonly WriteLogMemory _memory;
    private readonly int _unit;
    private readonly int _places;
    private long _head;
    private long _tail;
    private long _bytesReserved;
    private int _entriesReserved;

    /// <summary>Makes an empty log in memory of this process.</summary>
    /// <param name="bytes">Most bytes of payload; rounded up to whole 64 KiB.</param>
    /// <param name="block">Minimum block of the export, in bytes: payloads start at a multiple of it in the arena.</param>
    public WriteLog(long bytes, int block)
        : this(WriteLogMemory.Create(CapacityOf(bytes), block, isShared: false))
    {
    }

    private WriteLog(WriteLogMemory memory)
    {
        _memory = memory;
        _unit = memory.Unit;
        _places = memory.Places;
        Capacity = memory.Capacity;
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
    public bool IsHalfFull => _tail - _head >= Capacity / 2 || Count >= _places / 2;

    /// <summary>First byte of the export behind all that a dead process has left; 0 without.</summary>
    public long End { get; private set; }

    /// <summary>Whether no room is set aside: no change is under way.</summary>
    public bool IsIdle => _entriesReserved == 0;

    /// <summary>Its memory.</summary>
    public WriteLogMemory Memory => _memory;

    /// <summary>Makes an empty log in memory that may outlive this process (<see cref="WriteLogMemory.Descriptor"/>).</summary>
    /// <param name="bytes">Most bytes of payload; rounded up to whole 64 KiB.</param>
    /// <param name="block">Minimum block of the export, in bytes.</param>
    /// <exception cref="PosixException">The kernel refused.</exception>
    public static WriteLog CreateShared(long bytes, int block) => new(WriteLogMemory.Create(CapacityOf(bytes), block, isShared: true));

    /// <summary>Takes the log that a dead process has left.</summary>
    /// <param name="descriptor">Its memory; belongs to this object from here on.</param>
    /// <param name="block">Minimum block of the export, in bytes.</param>
    /// <returns>Null when it cannot be used, and nothing is in it.</returns>
    /// <exception cref="NbdWriteLogException">It cannot be trusted.</exception>
    public static WriteLog? Adopt(FileDescriptor descriptor, int block)
    {
        WriteLogMemory? memory = WriteLogMemory.Adopt(descriptor);
        if (memory is null)
        {
            return null;
        }

        try
        {
            bool isEmpty = memory.Appended == memory.Released;
            if (memory.Unit != block || memory.Capacity < SmallestBytes || memory.Capacity % Granularity != 0)
            {
                return isEmpty ? null : throw Damaged($"it is for blocks of {memory.Unit} bytes, and has {memory.Capacity} bytes");
            }

            var log = new WriteLog(memory);
            log.Load();
            memory = null;
            return log;
        }
        finally
        {
            memory?.Dispose();
        }
    }

    /// <summary>Sets room aside for a change that is about to be sent.</summary>
    /// <param name="request">A Write, WriteZeroes or Trim; a Write is no longer than <see cref="MaximumPayload"/>.</param>
    /// <returns>False when the log is full: a FLUSH has to come first.</returns>
    public bool TryReserve(BlockRequest request)
    {
        long bytes = SizeOf(request);
        if (_tail - _head + _bytesReserved + bytes > Capacity || Count + _entriesReserved >= _places)
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

        ref WriteLogEntry entry = ref EntryOf(Appended);
        entry.Offset = request.Offset;
        entry.Length = request.Length;
        entry.Position = _tail;
        entry.Number = Appended;
        entry.Seal(request.Operation, (request.Flags & BlockRequestFlags.NoHole) != 0);
        if (request.Operation == BlockOperation.Write)
        {
            ReadOnlySpan<byte> payload = request.Buffer.Span;
            Span<byte> arena = _memory.Arena;
            int place = (int)(_tail % Capacity);
            int untilEnd = Math.Min(payload.Length, Capacity - place);
            payload[..untilEnd].CopyTo(arena[place..]);
            payload[untilEnd..].CopyTo(arena);
            Volatile.Write(ref _tail, _tail + SizeOf(request));
        }

        // The one store by which whoever follows a killed process sees the entry: all of it is there by now.
        Volatile.Write(ref _memory.Appended, ++Appended);
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

        // The one store that takes them out. Nothing that follows may be written over them before it.
        Volatile.Write(ref _memory.Released, Released);
        Interlocked.MemoryBarrier();
        Volatile.Write(ref _head, Count == 0 ? _tail : EntryOf(Released).Position);
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
            ref WriteLogEntry entry = ref EntryOf(index);
            painter.Announce(entry.Offset, entry.Offset + entry.Length);
        }

        for (long index = Appended - 1; index >= Released; index--)
        {
            ref WriteLogEntry entry = ref EntryOf(index);
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
            ref WriteLogEntry entry = ref EntryOf(index);
            if (entry.Offset < end && start < entry.Offset + entry.Length)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>The payload of a piece; valid while its entry is in the log.</summary>
    /// <param name="piece">A piece with payload.</param>
    public Memory<byte> PayloadOf(in ReplayPiece piece) => _memory.Payload(piece.Payload, (int)piece.Length);

    /// <inheritdoc/>
    public void Dispose() => _memory.Dispose();

    private static int CapacityOf(long bytes) =>
        (int)((Math.Clamp(bytes, SmallestBytes, LargestBytes) + Granularity - 1) / Granularity * Granularity);

    private static NbdWriteLogException Damaged(string what) =>
        new($"the write log that a dead process has left is damaged, and nothing of it is written: {what}");

    /// <summary>Finds the entries that a dead process has left, and makes sure that they are what was written.</summary>
    private void Load()
    {
        Appended = _memory.Appended;
        Released = _memory.Released;
        if (Released < 0 || Appended < Released || Appended - Released > _places)
        {
            throw Damaged($"it counts {Appended} entries, {Released} of which have left, in {_places} places");
        }

        for (long number = Released; number < Appended; number++)
        {
            ref WriteLogEntry entry = ref EntryOf(number);
            _head = number == Released ? entry.Position : _head;
            _tail = number == Released ? entry.Position : _tail;
            bool isWrite = entry.Operation == BlockOperation.Write;
            if (!entry.IsWhole || entry.Number != number || entry.Position != _tail || _tail < 0 || _tail % _unit != 0
                || !(isWrite || entry.Operation is BlockOperation.WriteZeroes or BlockOperation.Trim)
                || entry.Offset < 0 || entry.Length <= 0 || entry.Offset > long.MaxValue - entry.Length
                || (isWrite && entry.Length > MaximumPayload))
            {
                throw Damaged($"entry {number} is not what was written");
            }

            _tail += isWrite ? SizeOf(entry.Length) : 0;
            End = Math.Max(End, entry.Offset + entry.Length);
            if (_tail - _head > Capacity)
            {
                throw Damaged($"entries {Released} to {number} are longer than {Capacity} bytes");
            }
        }
    }

    private ref WriteLogEntry EntryOf(long number) => ref _memory.Entries[(int)(number % _places)];

    private long SizeOf(BlockRequest request) => request.Operation == BlockOperation.Write ? SizeOf(request.Length) : 0;

    private long SizeOf(long length) => (length + _unit - 1) & ~(_unit - 1L);
}
