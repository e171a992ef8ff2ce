using System.Runtime.CompilerServices;
using System.Text;

namespace NbdFuse.Native;

/// <summary>
/// A shared mapping of a memfd: memory that another process can hold by its descriptor and map again after our death.
/// It may be larger than 2 GiB; slices are served from overlapping windows made once, so that slicing does not allocate.
/// Pages are allocated when first touched. There is no finalizer: the owner disposes it after the last user of its memory.
/// </summary>
public sealed unsafe class NativeRegion : IDisposable
{
    /// <summary>The longest slice in bytes (1 GiB), at any offset.</summary>
    public const int MaximumSlice = 1 << WindowShift;

    // Window i starts at i GiB and reaches almost 2 GiB further: any slice of up to 1 GiB lies within the window of its start.
    private const int WindowShift = 30;
    private const uint MemfdCloexec = 1;

    private readonly RegionWindow[] _windows;
    private byte* _address;

    private NativeRegion(FileDescriptor descriptor, byte* address, long length)
    {
        FileDescriptor = descriptor;
        _address = address;
        Length = length;
        _windows = new RegionWindow[(int)((length + MaximumSlice - 1) >> WindowShift)];
        for (int i = 0; i < _windows.Length; i++)
        {
            long start = (long)i << WindowShift;
            _windows[i] = new RegionWindow(this, address + start, (int)Math.Min(length - start, int.MaxValue));
        }
    }

    /// <summary>The memfd. Owned by this object: duplicate it to give it away.</summary>
    public FileDescriptor FileDescriptor { get; }

    /// <summary>Bytes.</summary>
    public long Length { get; }

    /// <summary>Makes a zeroed region.</summary>
    /// <param name="name">Shown in /proc/PID/maps; up to 249 bytes.</param>
    /// <param name="length">Bytes, at least 1.</param>
    /// <exception cref="PosixException">The kernel refused.</exception>
    public static NativeRegion Create(string name, long length)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(length, 1);
        byte[] nameBytes = Encoding.UTF8.GetBytes(name + "\0");
        int fd;
        fixed (byte* p = nameBytes)
        {
            fd = Libc.memfd_create(p, MemfdCloexec);
        }

        if (fd < 0)
        {
            throw new PosixException($"create memory file {name}", System.Runtime.InteropServices.Marshal.GetLastSystemError());
        }

        FileDescriptor descriptor = FileDescriptor.Own(fd);
        try
        {
            PosixException.Check(Posix.FTruncate(fd, length), $"size memory file {name} to {length} bytes");
            return new NativeRegion(descriptor, Mapping.Map((nuint)length, Mapping.Shared, fd, name), length);
        }
        catch
        {
            descriptor.Dispose();
            throw;
        }
    }

    /// <summary>Maps a region that another process made.</summary>
    /// <param name="descriptor">Its memfd; ownership passes to the region, on failure it stays with the caller.</param>
    /// <exception cref="PosixException">The descriptor cannot be mapped.</exception>
    public static NativeRegion Adopt(FileDescriptor descriptor)
    {
        PosixException.Check(Posix.Fstat(descriptor.Value, out FileStatus status), "size of a memory file");
        if (status.Size < 1)
        {
            throw new PosixException("map an empty memory file", Errno.EINVAL);
        }

        byte* address = Mapping.Map((nuint)status.Size, Mapping.Shared, descriptor.Value, "memory file");
        return new NativeRegion(descriptor, address, status.Size);
    }

    /// <summary>A part of the region. Does not allocate.</summary>
    /// <param name="offset">Byte offset.</param>
    /// <param name="length">Bytes, up to <see cref="MaximumSlice"/>.</param>
    public Memory<byte> Slice(long offset, int length)
    {
        CheckRange(offset, length);
        return length == 0
            ? Memory<byte>.Empty
            : _windows[(int)(offset >> WindowShift)].Memory.Slice((int)(offset & (MaximumSlice - 1)), length);
    }

    /// <summary>A part of the region as a span; cheaper than <c>Slice(...).Span</c>.</summary>
    /// <param name="offset">Byte offset.</param>
    /// <param name="length">Bytes.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Span<byte> Span(long offset, int length)
    {
        CheckRange(offset, length);
        // SAFETY: inside the mapping, which lives until Dispose; the owner disposes after the last use.
        return new Span<byte>(_address + offset, length);
    }

    /// <summary>The address of a byte, for system calls that take one.</summary>
    /// <param name="offset">Byte offset.</param>
    /// <param name="length">Bytes from there that the call uses.</param>
    public nint AddressOf(long offset, int length)
    {
        CheckRange(offset, length);
        return (nint)(_address + offset);
    }

    /// <summary>Keeps the pages in memory (mlock); all of them are allocated by it.</summary>
    /// <returns>0 or a negative errno.</returns>
    public int Lock() => Mapping.Lock(_address, (nuint)Length);

    /// <summary>Unmaps the region and closes its descriptor. None of its memory may be used afterwards.</summary>
    public void Dispose()
    {
        byte* address = _address;
        _address = null;
        if (address != null)
        {
            foreach (RegionWindow window in _windows)
            {
                ((IDisposable)window).Dispose();
            }

            Mapping.Unmap(address, (nuint)Length);
            FileDescriptor.Dispose();
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void CheckRange(long offset, int length)
    {
        if (_address == null || (ulong)offset > (ulong)Length || (uint)length > (uint)MaximumSlice || length > Length - offset)
        {
            ThrowRange(offset, length);
        }
    }

    private void ThrowRange(long offset, int length)
    {
        ObjectDisposedException.ThrowIf(_address == null, this);
        throw new ArgumentOutOfRangeException(
            nameof(offset), $"{length} bytes at {offset} are not a slice of a region of {Length} bytes.");
    }
}
