using System.Buffers;

namespace NbdFuse.Native;

/// <summary>Up to 2 GiB of a <see cref="NativeRegion"/>, which owns the mapping and is kept alive by its windows.</summary>
internal sealed unsafe class RegionWindow : MemoryManager<byte>
{
    private readonly NativeRegion _region;
    private byte* _address;
    private int _length;

    internal RegionWindow(NativeRegion region, byte* address, int length)
    {
        _region = region;
        _address = address;
        _length = length;
    }

    // SAFETY: the region's mapping lives until its owner disposes it, which empties this window first.
    public override Span<byte> GetSpan() => new(_address, _length);

    public override MemoryHandle Pin(int elementIndex = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(elementIndex);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(elementIndex, _length);
        GC.KeepAlive(_region);
        return new MemoryHandle(_address + elementIndex);
    }

    public override void Unpin()
    {
    }

    protected override void Dispose(bool disposing)
    {
        _address = null;
        _length = 0;
    }
}
