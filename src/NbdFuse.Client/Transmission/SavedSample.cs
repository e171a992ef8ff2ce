using System.Runtime.InteropServices;

namespace NbdFuse.Client.Transmission;

/// <summary>One block of a fingerprint, as it lies in memory that may outlive the process.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct SavedSample
{
    /// <summary>Bytes of a sample.</summary>
    public const int Bytes = 40;

    private const int CheckedBytes = 32;

    private long _offset;
    private long _length;
    private long _acknowledged;
    private ulong _digest;
    private ulong _check;

    /// <summary>Forgets the sample, by one word.</summary>
    public void Clear() => Volatile.Write(ref _check, 0);

    /// <summary>Saves a sample. It counts from the last of several words on, and the old one does not from the first.</summary>
    /// <param name="sample">The sample.</param>
    public void Save(in FingerprintSample sample)
    {
        Clear();
        Interlocked.MemoryBarrier();
        _offset = sample.Offset;
        _length = sample.Length;
        _acknowledged = sample.Acknowledged;
        _digest = sample.Digest;
        Volatile.Write(ref _check, Check());
    }

    /// <summary>The sample.</summary>
    /// <param name="longest">Most bytes that one may have.</param>
    /// <param name="sample">The sample.</param>
    /// <returns>False when there is none, or not a whole one.</returns>
    public bool TryLoad(int longest, out FingerprintSample sample)
    {
        sample = new FingerprintSample { Offset = _offset, Length = (int)_length, Acknowledged = _acknowledged, Digest = _digest };
        return _check == Check() && _offset >= 0 && _length > 0 && _length <= longest;
    }

    // Never 0, which means that there is none.
    private ulong Check() => Fingerprint.Digest(MemoryMarshal.AsBytes(new ReadOnlySpan<SavedSample>(ref this))[..CheckedBytes]) | 1;
}
