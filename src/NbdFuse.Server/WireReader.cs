using System.Buffers;

namespace NbdFuse.Server;

/// <summary>Buffered reads from a connection: as many requests per system call as have arrived.</summary>
internal sealed class WireReader(Stream stream) : IDisposable
{
    private const int BufferSize = 256 * 1024;
    private byte[] _buffer = ArrayPool<byte>.Shared.Rent(BufferSize);
    private int _start;
    private int _end;

    /// <summary>What has arrived and was not consumed.</summary>
    public ReadOnlySpan<byte> Buffered => _buffer.AsSpan(_start, _end - _start);

    public void Consume(int count) => _start += count;

    /// <summary>Reads until at least <paramref name="count"/> bytes, fewer than the buffer has, are buffered.</summary>
    /// <returns>False when the peer closed first.</returns>
    public async ValueTask<bool> FillAsync(int count, CancellationToken cancellation)
    {
        if (_start == _end)
        {
            _start = _end = 0;
        }
        else if (_buffer.Length - _start < count)
        {
            Buffered.CopyTo(_buffer);
            _end -= _start;
            _start = 0;
        }

        while (_end - _start < count)
        {
            int received = await stream.ReadAsync(_buffer.AsMemory(_end), cancellation).ConfigureAwait(false);
            if (received == 0)
            {
                return false;
            }

            _end += received;
        }

        return true;
    }

    /// <summary>Fills the destination: buffered bytes first, the rest straight from the stream.</summary>
    /// <returns>False when the peer closed first.</returns>
    public async ValueTask<bool> ReadAsync(Memory<byte> destination, CancellationToken cancellation)
    {
        int ready = Math.Min(destination.Length, _end - _start);
        _buffer.AsSpan(_start, ready).CopyTo(destination.Span);
        _start += ready;
        destination = destination[ready..];
        while (!destination.IsEmpty)
        {
            int received = await stream.ReadAsync(destination, cancellation).ConfigureAwait(false);
            if (received == 0)
            {
                return false;
            }

            destination = destination[received..];
        }

        return true;
    }

    /// <summary>Throws bytes away.</summary>
    /// <returns>False when the peer closed first.</returns>
    public async ValueTask<bool> SkipAsync(long count, CancellationToken cancellation)
    {
        while (count > 0)
        {
            if (_start == _end && !await FillAsync(1, cancellation).ConfigureAwait(false))
            {
                return false;
            }

            int now = (int)Math.Min(count, _end - _start);
            _start += now;
            count -= now;
        }

        return true;
    }

    public void Dispose()
    {
        byte[] buffer = _buffer;
        _buffer = [];
        _start = _end = 0;
        if (buffer.Length > 0)
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }
}
