using NbdFuse.Cache;

namespace NbdFuse.UnitTests.Cache;

/// <summary>Pinned managed memory for caches of tests; counts what was asked for.</summary>
internal sealed class ArrayCacheMemory(long length) : ICacheMemory
{
    private readonly byte[] _bytes = GC.AllocateArray<byte>((int)length, pinned: true);

    public long Length => _bytes.Length;

    public long Released { get; private set; }

    public Memory<byte> Slice(long offset, int length) => _bytes.AsMemory((int)offset, length);

    public Span<byte> Span(long offset, int length) => _bytes.AsSpan((int)offset, length);

    public void Release(long offset, long length)
    {
        Released += length;
        _bytes.AsSpan((int)offset, (int)length).Fill(0xdd);
    }
}
