using NbdFuse.Native;
using Xunit;

namespace NbdFuse.UnitTests.Native;

public class NativeMemoryTests
{
    [Fact]
    public void A_region_is_shared_through_its_descriptor()
    {
        using NativeRegion first = NativeRegion.Create("nbdfuse-test", 1 << 20);
        using NativeRegion second = NativeRegion.Adopt(
            FileDescriptor.OwnOrThrow(Posix.Dup(first.FileDescriptor.Value), "duplicate"));
        Assert.Equal(first.Length, second.Length);
        "shared"u8.CopyTo(first.Slice(70_000, 6).Span);
        Assert.Equal("shared"u8.ToArray(), second.Span(70_000, 6).ToArray());
        byte[] buffer = new byte[6];
        Assert.Equal(6, Posix.PRead(first.FileDescriptor.Value, buffer, 70_000));
        Assert.Equal("shared"u8.ToArray(), buffer);
    }

    [Fact]
    public void A_region_beyond_4_GiB_is_sliced_at_any_offset()
    {
        const long Length = 5L << 30;
        using NativeRegion region = NativeRegion.Create("nbdfuse-big", Length);
        foreach (long offset in new[] { 0, (1L << 30) - 1, 1L << 30, (2L << 30) - 2, (4L << 30) - 1, Length - 3 })
        {
            region.Slice(offset, 3).Span.Fill((byte)(offset >> 28));
            Assert.Equal((byte)(offset >> 28), region.Span(offset + 2, 1)[0]);
            byte[] read = new byte[1];
            Assert.Equal(1, Posix.PRead(region.FileDescriptor.Value, read, offset + 1));
            Assert.Equal((byte)(offset >> 28), read[0]);
        }

        Assert.Equal(NativeRegion.MaximumSlice, region.Slice((1L << 30) - 1, NativeRegion.MaximumSlice).Length);
        Assert.Equal(0, region.Slice(Length, 0).Length);
        // Lazily touched: only some pages exist.
        Posix.Fstat(region.FileDescriptor.Value, out FileStatus status);
        Assert.True(status.Blocks * 512 < 64 << 20, $"{status.Blocks} blocks");
    }

    [Fact]
    public void Slicing_allocates_nothing()
    {
        using NativeRegion region = NativeRegion.Create("nbdfuse-alloc", 1 << 20);
        int sum = 0;
        long before = 0;
        for (int i = 0; i < 2000; i++)
        {
            if (i == 1000)
            {
                before = GC.GetAllocatedBytesForCurrentThread();
            }

            sum += region.Slice(i, 100).Span.Length + region.Span(i, 10).Length;
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        Assert.Equal(220_000, sum);
    }

    [Fact]
    public void Slices_outside_a_region_are_refused()
    {
        NativeRegion region = NativeRegion.Create("nbdfuse-range", 4096);
        Assert.Throws<ArgumentOutOfRangeException>(() => region.Slice(-1, 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => region.Slice(4096, 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => region.Slice(0, -1));
        Assert.Throws<ArgumentOutOfRangeException>(() => region.Slice(4000, 97));
        Assert.Throws<ArgumentOutOfRangeException>(() => region.Slice(long.MaxValue, 1));
        Memory<byte> kept = region.Slice(0, 16);
        region.Dispose();
        region.Dispose();
        Assert.Throws<ObjectDisposedException>(() => region.Slice(0, 1));
        // A slice that outlived its region throws instead of touching unmapped memory.
        Assert.ThrowsAny<Exception>(() => kept.Span.Length);
    }

    [Fact]
    public void A_buffer_is_page_aligned_zeroed_and_empty_after_disposal()
    {
        NativeBuffer buffer = NativeBuffer.Allocate(10_000);
        Assert.Equal(0, buffer.Address % Posix.GetPageSize());
        Assert.Equal(10_000, buffer.Span.Length);
        Assert.False(buffer.Span.ContainsAnyExcept((byte)0));
        buffer.Memory.Span[9_999] = 7;
        Assert.Equal(7, buffer.Span[9_999]);
        using (System.Buffers.MemoryHandle handle = buffer.Memory[5..].Pin())
        {
            Assert.Equal(7, buffer.Span[^1]);
        }

        buffer.Dispose();
        buffer.Dispose();
        Assert.Equal(0, buffer.Span.Length);
    }

    [Fact]
    public void Vectors_join_when_adjacent_and_advance_over_several()
    {
        using NativeBuffer buffer = NativeBuffer.Allocate(4096);
        using IoVectorList vectors = new(2);
        vectors.Add([]);
        Assert.Equal(0, vectors.Count);
        vectors.Add(buffer.Span[..10]);
        vectors.Add(buffer.Span[10..30]);
        Assert.Equal(1, vectors.Count);
        vectors.Add(buffer.Span[100..200]);
        Assert.True(vectors.IsFull);
        Assert.Equal(130, vectors.TotalBytes);
        Assert.Throws<InvalidOperationException>(() => vectors.Add(buffer.Span[300..301]));
        vectors.Advance(29);
        Assert.Equal((2, 101), (vectors.Count, (int)vectors.TotalBytes));
        vectors.Advance(2);
        Assert.Equal((1, 99), (vectors.Count, (int)vectors.TotalBytes));
        Assert.Throws<ArgumentOutOfRangeException>(() => vectors.Advance(100));
        vectors.Advance(99);
        Assert.Equal(0, vectors.Count);
        Assert.False(vectors.IsFull);
    }
}
