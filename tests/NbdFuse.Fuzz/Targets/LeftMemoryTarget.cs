using System.Runtime.InteropServices;
using NbdFuse.Block;
using NbdFuse.Client;
using NbdFuse.Client.Transmission;
using NbdFuse.Fuse;
using NbdFuse.Native;

namespace NbdFuse.Fuzz.Targets;

/// <summary>
/// Memory that a dead process has left: a write log with its fingerprint, the state of a mount. Taken, or refused by name; what is
/// planned to be written again lies within the memory.
/// </summary>
internal sealed class LeftMemoryTarget : IFuzzTarget
{
    // Header, entries and a little of the arena: the rest is zeroes.
    private const int SeedBytes = 24 * 1024;
    private const int EntriesOffset = 4096;
    private const int SealedEntries = 8;
    private const int Block = 512;

    private readonly long _logBytes;

    public LeftMemoryTarget()
    {
        using WriteLogMemory log = Log();
        PosixException.Check(Posix.Fstat(log.Descriptor!.Value, out FileStatus status), "size of a log");
        _logBytes = status.Size;
    }

    public string Name => "left-memory";

    public IEnumerable<byte[]> Seeds
    {
        get
        {
            using (WriteLogMemory log = Log())
            {
                yield return Content(log.Descriptor!)[..SeedBytes];
                for (int i = 0; i < 3; i++)
                {
                    ref WriteLogEntry entry = ref log.Entries[i];
                    (entry.Offset, entry.Length, entry.Number, entry.Position) = (512L * i, 1024, i, i == 2 ? 1024 : 1024L * i);
                    entry.Seal(i == 1 ? BlockOperation.WriteZeroes : BlockOperation.Write, noHole: false);
                    log.Appended = i + 1;
                }

                yield return Content(log.Descriptor!)[..SeedBytes];
            }

            byte[] empty = new byte[SeedBytes];
            yield return empty;
            using FuseSavedState state = FuseSavedState.Create();
            state.SaveExport(new SavedExport(1 << 20, 1, 1, 4096, 1 << 25));
            yield return Content(state.Descriptor);
        }
    }

    public void Run(byte[] input)
    {
        if (input.Length == 0)
        {
            return;
        }

        RunLog(input, _logBytes);
        RunLog(input, input.Length);
        RunState(input);
    }

    public void Dispose()
    {
    }

    private static void RunLog(byte[] input, long size)
    {
        try
        {
            // Else hardly a changed entry would get past its checksum.
            using WriteLog? log = WriteLog.Adopt(Memory(input, size, isSealed: input[^1] % 2 == 0), Block);
            if (log is null)
            {
                return;
            }

            foreach (ReplayPiece piece in log.Plan())
            {
                if (piece.Offset < 0 || piece.Length <= 0 || (piece.Payload >= 0 && piece.Payload + piece.Length > log.Capacity))
                {
                    throw new FuzzFailureException($"{piece} in a log of {log.Capacity} bytes");
                }

                if (piece.Payload >= 0)
                {
                    _ = log.PayloadOf(piece).Span[^1];
                }
            }
        }
        catch (NbdWriteLogException)
        {
            // Told, and nothing is written again.
        }
    }

    private static void RunState(byte[] input)
    {
        try
        {
            using FuseSavedState state = FuseSavedState.Adopt(Memory(input, Math.Max(input.Length, FuseSavedState.Size)));
            _ = state.LoadNegotiation();
            _ = state.LoadExport();
        }
        catch (FuseException)
        {
            // Told: the mount is made anew.
        }
    }

    private static WriteLogMemory Log() => WriteLogMemory.Create(WriteLog.SmallestBytes, Block, isShared: true);

    private static FileDescriptor Memory(byte[] input, long size, bool isSealed = false)
    {
        using NativeRegion region = NativeRegion.Create("fuzz", size);
        int length = (int)Math.Min(input.Length, size);
        input.AsSpan(0, length).CopyTo(region.Span(0, length));
        if (isSealed && size > EntriesOffset + (WriteLogEntry.Bytes * SealedEntries))
        {
            foreach (ref WriteLogEntry entry in MemoryMarshal.Cast<byte, WriteLogEntry>(region.Span(EntriesOffset, WriteLogEntry.Bytes * SealedEntries)))
            {
                entry.Seal(entry.Operation, entry.NoHole);
            }
        }

        return FileDescriptor.Own(PosixException.Check(Posix.DupAbove(region.FileDescriptor.Value, 3), "duplicate memory"));
    }

    private static byte[] Content(FileDescriptor descriptor)
    {
        using NativeRegion region = NativeRegion.Adopt(FileDescriptor.Own(PosixException.Check(Posix.DupAbove(descriptor.Value, 3), "duplicate memory")));
        return region.Span(0, (int)region.Length).ToArray();
    }
}
