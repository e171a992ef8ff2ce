using NbdFuse.Native;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>An open file, by system calls: every call is exactly one, and what it returns is the errno of the kernel.</summary>
internal sealed class MountedFile : IDisposable
{
    private readonly FileDescriptor _fd;

    /// <summary>Opens a file.</summary>
    /// <param name="path">Its path.</param>
    /// <param name="flags">Flags of open(2).</param>
    public MountedFile(string path, OpenFlags flags)
    {
        _fd = FileDescriptor.OwnOrThrow(Posix.Open(path, flags | OpenFlags.CloseOnExec), $"open {path}");
    }

    /// <summary>Reads all of a range, or fails the test.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="length">Length in bytes.</param>
    public byte[] Read(long offset, int length)
    {
        byte[] data = new byte[length];
        int count = 0;
        while (count < length)
        {
            int result = TryRead(offset + count, data.AsSpan(count));
            Assert.True(result > 0, $"read of {length - count} bytes at {offset + count}: {result}");
            count += result;
        }

        return data;
    }

    /// <summary>One pread(2).</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="data">Where to.</param>
    /// <returns>Bytes, or a negative errno.</returns>
    public int TryRead(long offset, Span<byte> data) => Posix.PRead(_fd.Value, data, offset);

    /// <summary>Writes all, or fails the test.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="data">What.</param>
    public void Write(long offset, ReadOnlySpan<byte> data)
    {
        while (!data.IsEmpty)
        {
            int result = TryWrite(offset, data);
            Assert.True(result > 0, $"write of {data.Length} bytes at {offset}: {result}");
            offset += result;
            data = data[result..];
        }
    }

    /// <summary>One pwrite(2).</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="data">What.</param>
    /// <returns>Bytes, or a negative errno.</returns>
    public int TryWrite(long offset, ReadOnlySpan<byte> data) => Posix.PWrite(_fd.Value, data, offset);

    /// <summary>One write(2), where the file's position is.</summary>
    /// <param name="data">What.</param>
    /// <returns>Bytes, or a negative errno.</returns>
    public int TryAppend(ReadOnlySpan<byte> data) => Posix.Write(_fd.Value, data);

    /// <summary>fsync(2).</summary>
    /// <returns>0, or a negative errno.</returns>
    public int Fsync() => Posix.Fsync(_fd.Value);

    /// <summary>ftruncate(2).</summary>
    /// <param name="size">In bytes.</param>
    /// <returns>0, or a negative errno.</returns>
    public int Truncate(long size) => Posix.FTruncate(_fd.Value, size);

    /// <summary>fallocate(2).</summary>
    /// <param name="mode">FALLOC_FL_ bits.</param>
    /// <param name="offset">First byte.</param>
    /// <param name="length">Length in bytes.</param>
    /// <returns>0, or a negative errno.</returns>
    public int Fallocate(int mode, long offset, long length) => Posix.Fallocate(_fd.Value, mode, offset, length);

    /// <summary>lseek(2).</summary>
    /// <param name="offset">Where to.</param>
    /// <param name="whence">SEEK_.</param>
    /// <returns>The position, or a negative errno.</returns>
    public long Seek(long offset, int whence) => Posix.Lseek(_fd.Value, offset, whence);

    /// <inheritdoc/>
    public void Dispose() => _fd.Dispose();
}
