using NbdFuse.Native;
using NbdFuse.TestKit;

namespace NbdFuse.MountTests;

/// <summary>A mounted file as a conformance target: plain system calls, through the page cache, on threads of the pool.</summary>
internal sealed class MountConformanceTarget : IConformanceTarget, IDisposable
{
    // RWF_DSYNC of one write is O_DSYNC of its handle.
    private readonly MountedFile? _durable;
    private readonly MountedFile _file;

    /// <summary>Opens the file.</summary>
    /// <param name="path">Its path.</param>
    /// <param name="isReadOnly">It can't be written.</param>
    public MountConformanceTarget(string path, bool isReadOnly)
    {
        IsReadOnly = isReadOnly;
        Size = new FileInfo(path).Length;
        _file = new MountedFile(path, isReadOnly ? OpenFlags.ReadOnly : OpenFlags.ReadWrite);
        _durable = isReadOnly ? null : new MountedFile(path, OpenFlags.ReadWrite | OpenFlags.DataSync);
    }

    /// <inheritdoc/>
    public long Size { get; }

    /// <inheritdoc/>
    public int MinimumBlock => 1;

    /// <inheritdoc/>
    public bool IsReadOnly { get; }

    /// <inheritdoc/>
    public bool CanZero => !IsReadOnly;

    /// <inheritdoc/>
    public bool CanTrim => false;

    /// <inheritdoc/>
    public bool StartsInOrder => false;

    /// <inheritdoc/>
    public bool ShortReadAtEnd => true;

    /// <inheritdoc/>
    public int LargeTransfer => 3 << 20;

    /// <inheritdoc/>
    public Task<byte[]> ReadAsync(long offset, int length) => Task.Run(() =>
    {
        byte[] data = new byte[length];
        int count = 0;
        while (count < length)
        {
            int result = _file.TryRead(offset + count, data.AsSpan(count));
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

        return data[..count];
    });

    /// <inheritdoc/>
    public Task<int> WriteAsync(long offset, byte[] data, bool fua = false) => Task.Run(() =>
    {
        MountedFile file = fua && _durable is not null ? _durable : _file;
        int count = 0;
        do
        {
            int result = file.TryWrite(offset + count, data.AsSpan(count));
            if (result < 0)
            {
                return -result;
            }

            count += result;
        }
        while (count < data.Length);

        return 0;
    });

    /// <inheritdoc/>
    public Task<int> FlushAsync() => Task.Run(() => -_file.Fsync());

    /// <inheritdoc/>
    public Task<int> TrimAsync(long offset, long length) => Task.FromResult(Errno.EOPNOTSUPP);

    /// <inheritdoc/>
    public Task<int> ZeroAsync(long offset, long length, bool noHole) => Task.Run(() => -_file.Fallocate(
        noHole ? Posix.FallocateZeroRange : Posix.FallocatePunchHole | Posix.FallocateKeepSize, offset, length));

    /// <inheritdoc/>
    public void Dispose()
    {
        _file.Dispose();
        _durable?.Dispose();
    }
}
