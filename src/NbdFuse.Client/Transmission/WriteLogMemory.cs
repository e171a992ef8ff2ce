using System.Runtime.InteropServices;
using NbdFuse.Native;

namespace NbdFuse.Client.Transmission;

/// <summary>
/// Where a write log lies: memory of this process, or a memfd that another process holds too, and that is found again after
/// the death of this one.
/// </summary>
/// <remarks>
/// Layout, in bytes; entries and arena begin at whole pages:
/// <code>
/// 0         1024                 4096              4096 + 48 * entries, rounded up
/// | words   | samples            | entries         | arena: payloads, a ring
/// </code>
/// The writer may be killed between any two instructions. What counts is told by single words, each written at once:
/// <see cref="Appended"/> after everything that belongs to an entry, <see cref="Released"/> before its place is used anew.
/// THREADING: the export's loop; another process only after the death of this one.
/// </remarks>
internal sealed class WriteLogMemory : IDisposable
{
    /// <summary>Bytes of payload for each entry that has a place: smaller requests fill the entries first.</summary>
    public const int BytesPerEntry = 2048;

    private const string Name = "nbdfuse-write-log";
    private const ulong Layout = 0x31_474F_4C44_424E;
    private const int Page = 4096;
    private const int SamplesOffset = 1024;

    // Numbers of words. The first and the two counters keep their places in every layout to come: whether a log of another
    // version is empty can then be seen.
    private const int LayoutWord = 0;
    private const int CapacityWord = 1;
    private const int UnitWord = 2;
    private const int AppendedWord = 4;
    private const int ReleasedWord = 5;
    private const int TrimWord = 6;

    private readonly NativeBuffer? _own;
    private readonly NativeRegion? _shared;

    private WriteLogMemory(NativeBuffer? own, NativeRegion? shared, int capacity, int unit)
    {
        _own = own;
        _shared = shared;
        Capacity = capacity;
        Unit = unit;
    }

    /// <summary>Bytes of the arena.</summary>
    public int Capacity { get; }

    /// <summary>Payloads start at a multiple of it in the arena: minimum block of the export, in bytes.</summary>
    public int Unit { get; }

    /// <summary>Places for entries.</summary>
    public int Places => Capacity / BytesPerEntry;

    /// <summary>Whether it may outlive this process.</summary>
    public bool IsShared => _shared is not null;

    /// <summary>The memory, to hand it on; null when it is this process's own.</summary>
    public FileDescriptor? Descriptor => _shared?.FileDescriptor;

    /// <summary>Number of entries that were ever made. Setting it is what makes an entry.</summary>
    public ref long Appended => ref Word(AppendedWord);

    /// <summary>Number of entries that have left. Setting it is what takes entries out.</summary>
    public ref long Released => ref Word(ReleasedWord);

    /// <summary>Not 0 when a TRIM was ever sent.</summary>
    public ref long Trimmed => ref Word(TrimWord);

    /// <summary>The entries; entry n has the place n modulo <see cref="Places"/>.</summary>
    public Span<WriteLogEntry> Entries => MemoryMarshal.Cast<byte, WriteLogEntry>(Span(Page, Places * WriteLogEntry.Bytes));

    /// <summary>The payloads.</summary>
    public Span<byte> Arena => Span(ArenaOffset(Capacity), Capacity);

    /// <summary>What the export is recognised by.</summary>
    public Span<SavedSample> Samples =>
        MemoryMarshal.Cast<byte, SavedSample>(Span(SamplesOffset, Fingerprint.Capacity * SavedSample.Bytes));

    /// <summary>Makes memory for an empty log.</summary>
    /// <param name="capacity">Bytes of the arena, whole pages, up to 1 GiB.</param>
    /// <param name="unit">See <see cref="Unit"/>.</param>
    /// <param name="isShared">Whether it may outlive this process.</param>
    /// <exception cref="PosixException">The kernel refused.</exception>
    public static WriteLogMemory Create(int capacity, int unit, bool isShared)
    {
        int length = ArenaOffset(capacity) + capacity;
        var memory = new WriteLogMemory(
            isShared ? null : NativeBuffer.Allocate(length), isShared ? NativeRegion.Create(Name, length) : null, capacity, unit);
        memory.Word(CapacityWord) = capacity;
        memory.Word(UnitWord) = unit;
        Volatile.Write(ref memory.Word(LayoutWord), (long)Layout);
        return memory;
    }

    /// <summary>Takes the memory that a dead process has left.</summary>
    /// <param name="descriptor">The memory; belongs to this object from here on.</param>
    /// <returns>Null when it is not what this version writes, but its log is empty: nobody needs it.</returns>
    /// <exception cref="NbdWriteLogException">It is not what this version writes, and something is in it.</exception>
    public static WriteLogMemory? Adopt(FileDescriptor descriptor)
    {
        NativeRegion region = NativeRegion.Adopt(descriptor);
        try
        {
            if (region.Length < Page)
            {
                throw new NbdWriteLogException($"the write log that a dead process has left is damaged: it has {region.Length} bytes");
            }

            ReadOnlySpan<long> words = MemoryMarshal.Cast<byte, long>(region.Span(0, Page));
            long capacity = words[CapacityWord];
            long unit = words[UnitWord];
            if (words[LayoutWord] == (long)Layout && capacity is > 0 and <= WriteLog.LargestBytes && capacity % Page == 0
                && unit is > 0 and <= int.MaxValue && long.IsPow2(unit) && region.Length == ArenaOffset((int)capacity) + capacity)
            {
                var memory = new WriteLogMemory(null, region, (int)capacity, (int)unit);
                region = null!;
                return memory;
            }

            return words[AppendedWord] == words[ReleasedWord]
                ? null
                : throw new NbdWriteLogException(
                    "the write log that a dead process has left is damaged, or of another version of this program");
        }
        finally
        {
            region?.Dispose();
        }
    }

    /// <summary>A part of the arena, as requests take it.</summary>
    /// <param name="start">First byte.</param>
    /// <param name="length">Bytes.</param>
    public Memory<byte> Payload(int start, int length)
    {
        int offset = ArenaOffset(Capacity) + start;
        return _own is not null ? _own.Memory.Slice(offset, length) : _shared!.Slice(offset, length);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _own?.Dispose();
        _shared?.Dispose();
    }

    private static int ArenaOffset(int capacity) =>
        Page + (((capacity / BytesPerEntry * WriteLogEntry.Bytes) + Page - 1) / Page * Page);

    private ref long Word(int number) => ref MemoryMarshal.Cast<byte, long>(Span(0, Page))[number];

    private Span<byte> Span(int offset, int length) =>
        _own is not null ? _own.Span.Slice(offset, length) : _shared!.Span(offset, length);
}
