using System.Globalization;
using NbdFuse.Native;
using NbdFuse.Native.Block;

namespace NbdFuse.TestKit;

/// <summary>A block device node as a conformance target: plain system calls past the page cache (O_DIRECT), on threads of the pool.</summary>
public sealed class DeviceConformanceTarget : IConformanceTarget, IDisposable
{
    // BLKZEROOUT of linux/fs.h; NbdFuse.Native has no use for it.
    private const uint ZeroOut = 0x127F;

    private readonly string _path;
    private readonly int _fd;
    private readonly int _durableFd;
    private readonly bool _hasPunch;
    private readonly SemaphoreSlim _calls = new(16);

    /// <summary>Opens the device.</summary>
    /// <param name="path">Its node, as /dev/loop0.</param>
    /// <exception cref="PosixException">It can't be opened.</exception>
    public DeviceConformanceTarget(string path)
    {
        _path = path;
        string name = Path.GetFileName(path);
        Size = 512 * long.Parse(Attribute(name, "size"), CultureInfo.InvariantCulture);
        MinimumBlock = int.Parse(Attribute(name, "queue/logical_block_size"), CultureInfo.InvariantCulture);
        IsReadOnly = Attribute(name, "ro") != "0";
        CanTrim = !IsReadOnly && Attribute(name, "queue/discard_max_bytes") != "0";
        _hasPunch = Attribute(name, "queue/write_zeroes_max_bytes") != "0";
        OpenFlags access = OpenFlags.Direct | (IsReadOnly ? OpenFlags.ReadOnly : OpenFlags.ReadWrite);
        _fd = PosixException.Check(Posix.Open(path, access), $"open {path}");
        // A write of such a descriptor is FUA where the device has it, and is followed by a FLUSH elsewhere.
        _durableFd = PosixException.Check(Posix.Open(path, access | OpenFlags.DataSync), $"open {path}");
    }

    /// <inheritdoc/>
    public long Size { get; }

    /// <inheritdoc/>
    public int MinimumBlock { get; }

    /// <inheritdoc/>
    public bool IsReadOnly { get; }

    /// <summary>The kernel writes the zeroes where the device can't make them.</summary>
    public bool CanZero => !IsReadOnly;

    /// <inheritdoc/>
    public bool CanTrim { get; }

    /// <inheritdoc/>
    public bool StartsInOrder => false;

    /// <summary>The kernel cuts a direct read at the end of the device.</summary>
    public bool ShortReadAtEnd => true;

    /// <summary>Above what devices take in one piece.</summary>
    public int LargeTransfer => 3 << 20;

    /// <inheritdoc/>
    public Task<byte[]> ReadAsync(long offset, int length) => Call(() =>
    {
        byte[] data = new byte[length];
        if (length == 0)
        {
            return data;
        }

        // O_DIRECT wants aligned memory.
        using NativeBuffer buffer = NativeBuffer.Allocate(length);
        int count = 0;
        while (count < length)
        {
            int result = Posix.PRead(_fd, buffer.Span[count..], offset + count);
            if (result < 0)
            {
                throw new ConformanceErrorException(-result, $"read of {length} bytes at {offset}");
            }

            if (result == 0)
            {
                break;
            }

            count += result;
        }

        buffer.Span[..count].CopyTo(data);
        return data[..count];
    });

    /// <inheritdoc/>
    public Task<int> WriteAsync(long offset, byte[] data, bool fua = false) => Changing(() =>
    {
        if (data.Length == 0)
        {
            return 0;
        }

        using NativeBuffer buffer = NativeBuffer.Allocate(data.Length);
        data.CopyTo(buffer.Span);
        int count = 0;
        while (count < data.Length)
        {
            int result = Posix.PWrite(fua ? _durableFd : _fd, buffer.Span[count..], offset + count);
            if (result <= 0)
            {
                return result < 0 ? -result : Errno.ENOSPC;
            }

            count += result;
        }

        return 0;
    });

    /// <inheritdoc/>
    public Task<int> FlushAsync() => Call(() => -Posix.Fsync(_fd));

    /// <inheritdoc/>
    public Task<int> TrimAsync(long offset, long length) => Changing(() => RangeIoctl(BlockConstants.Discard, offset, length));

    /// <summary>Without holes by BLKZEROOUT; with holes by FALLOC_FL_PUNCH_HOLE where the device has zeroes of its own.</summary>
    /// <inheritdoc/>
    public Task<int> ZeroAsync(long offset, long length, bool noHole) => Changing(() => noHole || !_hasPunch
        ? RangeIoctl(ZeroOut, offset, length)
        : -Posix.Fallocate(_fd, Posix.FallocatePunchHole | Posix.FallocateKeepSize, offset, length));

    /// <inheritdoc/>
    public void Dispose()
    {
        Posix.Close(_fd);
        Posix.Close(_durableFd);
        _calls.Dispose();
    }

    private static string Attribute(string device, string name)
    {
        // A partition has its queue one level up.
        string path = $"/sys/class/block/{device}/{name}";
        return File.ReadAllText(File.Exists(path) ? path : $"/sys/class/block/{device}/../{name}").Trim();
    }

    private int RangeIoctl(uint request, long offset, long length)
    {
        // uint64_t range[2]: start and length in bytes.
        Span<byte> range = stackalloc byte[16];
        BitConverter.TryWriteBytes(range, offset);
        BitConverter.TryWriteBytes(range[8..], length);
        return -Posix.Ioctl(_fd, request, range);
    }

    // A read-only device must refuse to be opened for writing; one that does not is written to, which then must fail.
    private Task<int> Changing(Func<int> change) => Call(() =>
    {
        if (!IsReadOnly)
        {
            return change();
        }

        int fd = Posix.Open(_path, OpenFlags.ReadWrite);
        if (fd < 0)
        {
            return -fd;
        }

        Posix.Close(fd);
        return 0;
    });

    private async Task<T> Call<T>(Func<T> call)
    {
        await _calls.WaitAsync().ConfigureAwait(false);
        try
        {
            return await Task.Run(call).ConfigureAwait(false);
        }
        finally
        {
            _calls.Release();
        }
    }
}
