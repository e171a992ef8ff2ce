using System.Runtime.InteropServices;
using NbdFuse.Block;

namespace NbdFuse.Client.Transmission;

/// <summary>One acknowledged change in the write log, as it lies in memory that may outlive the process.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct WriteLogEntry
{
    /// <summary>Bytes of an entry.</summary>
    public const int Bytes = 48;

    private const int CheckedBytes = 40;
    private const ulong NoHoleBit = 1UL << 32;

    /// <summary>First byte in the export.</summary>
    public long Offset;

    /// <summary>Bytes in the export.</summary>
    public long Length;

    /// <summary>Where the payload of a WRITE begins: bytes that the arena has taken since it was last empty.</summary>
    public long Position;

    /// <summary>Number of the entry, from 0: which of those that have shared its place it is.</summary>
    public long Number;

    private ulong _what;
    private ulong _digest;

    /// <summary>Write, WriteZeroes or Trim.</summary>
    public readonly BlockOperation Operation => (BlockOperation)(uint)_what;

    /// <summary>WriteZeroes must leave the range allocated.</summary>
    public readonly bool NoHole => (_what & NoHoleBit) != 0;

    /// <summary>Whether the entry is what <see cref="Seal"/> has made of it.</summary>
    public bool IsWhole => _digest == Digest() && (_what & ~(NoHoleBit | uint.MaxValue)) == 0;

    /// <summary>Says what the change is, and completes the entry.</summary>
    /// <param name="operation">Write, WriteZeroes or Trim.</param>
    /// <param name="noHole">See <see cref="NoHole"/>.</param>
    public void Seal(BlockOperation operation, bool noHole)
    {
        _what = (uint)operation | (noHole ? NoHoleBit : 0);
        _digest = Digest();
    }

    private ulong Digest() =>
        Fingerprint.Digest(MemoryMarshal.AsBytes(new ReadOnlySpan<WriteLogEntry>(ref this))[..CheckedBytes]);
}
