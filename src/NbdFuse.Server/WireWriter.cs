using System.Buffers;

namespace NbdFuse.Server;

/// <summary>Collects replies, so that a batch of requests is answered by one send.</summary>
internal sealed class WireWriter(Stream stream) : IDisposable
{
    /// <summary>Bytes that are worth a send of their own.</summary>
    public const int Threshold = 256 * 1024;

    private const int InitialSize = 2 * Threshold;
    private byte[] _buffer = ArrayPool<byte>.Shared.Rent(InitialSize);

    /// <summary>Bytes that wait.</summary>
    public int Pending { get; private set; }

    /// <summary>Room for the next <paramref name="count"/> bytes; <see cref="Advance"/> makes them count.</summary>
    public Span<byte> GetSpan(int count)
    {
        if (_buffer.Length - Pending < count)
        {
            byte[] larger = ArrayPool<byte>.Shared.Rent(Pending + count);
            _buffer.AsSpan(0, Pending).CopyTo(larger);
            ArrayPool<byte>.Shared.Return(_buffer);
            _buffer = larger;
        }

        return _buffer.AsSpan(Pending, count);
    }

    public void Advance(int count) => Pending += count;

    /// <summary>Takes back everything after a mark, as when a READ failed half way.</summary>
    /// <param name="pending">An earlier value of <see cref="Pending"/>.</param>
    public void RewindTo(int pending) => Pending = pending;

    public async ValueTask FlushAsync(CancellationToken cancellation)
    {
        if (Pending == 0)
        {
            return;
        }

        await stream.WriteAsync(_buffer.AsMemory(0, Pending), cancellation).ConfigureAwait(false);
        Pending = 0;
        if (_buffer.Length > 4 * InitialSize)
        {
            // One 32 MiB read must not cost an idle connection 32 MiB for ever.
            ArrayPool<byte>.Shared.Return(_buffer);
            _buffer = ArrayPool<byte>.Shared.Rent(InitialSize);
        }
    }

    public void Dispose()
    {
        byte[] buffer = _buffer;
        _buffer = [];
        Pending = 0;
        if (buffer.Length > 0)
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }
}
