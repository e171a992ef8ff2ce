using NbdFuse.Protocol;
using NbdFuse.Server;

namespace NbdFuse.UnitTests.Server;

/// <summary>A memory export that counts what reaches it, and fails on demand.</summary>
internal sealed class CountingExport(long size) : IBackend
{
    private readonly MemoryExport _memory = new(size);
    private int _flushes;

    public int Flushes => Volatile.Read(ref _flushes);

    public int FuaWrites { get; private set; }

    public NbdError Failure { get; set; }

    public bool Throws { get; set; }

    public long Size => _memory.Size;

    public bool IsReadOnly => false;

    public NbdError Read(long offset, Span<byte> buffer)
    {
        if (Throws)
        {
            throw new InvalidOperationException("The backend has a bug.");
        }

        return Failure != NbdError.None ? Failure : _memory.Read(offset, buffer);
    }

    public NbdError Write(long offset, ReadOnlySpan<byte> data, bool fua)
    {
        FuaWrites += fua ? 1 : 0;
        return Failure != NbdError.None ? Failure : _memory.Write(offset, data, fua);
    }

    public NbdError Flush()
    {
        Interlocked.Increment(ref _flushes);
        return Failure;
    }

    public NbdError Trim(long offset, long length, bool fua) => _memory.Trim(offset, length, fua);

    public NbdError Zero(long offset, long length, bool noHole, bool fast, bool fua) =>
        fast ? NbdError.NotSup : _memory.Zero(offset, length, noHole, fast, fua);

    public NbdError Cache(long offset, long length) => Failure;

    public long NextExtent(long offset, long length, out bool isHole)
    {
        // All is data: a hole would be answered without a read, that could fail.
        isHole = false;
        return length;
    }

    public void Dispose() => _memory.Dispose();
}
