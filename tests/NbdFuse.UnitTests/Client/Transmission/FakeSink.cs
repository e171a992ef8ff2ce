using NbdFuse.Block;
using NbdFuse.Native;

namespace NbdFuse.UnitTests.Client.Transmission;

/// <summary>A front end that takes payloads on the spot, or refuses to.</summary>
internal sealed class FakeSink : IPayloadSink
{
    private const byte Header = 0xee;

    public int HeaderRoom { get; init; } = 16;

    public bool Refuses { get; init; }

    public bool RefusesPipe { get; init; }

    /// <summary>Payloads that were taken from memory.</summary>
    public List<byte[]> Delivered { get; } = [];

    /// <summary>Payloads that were taken from a pipe.</summary>
    public List<byte[]> Piped { get; } = [];

    /// <summary>Offers of a payload that lies in the request's own buffer.</summary>
    public int BufferOffers { get; private set; }

    public bool TryDeliver(BlockRequest request, Span<byte> frame)
    {
        if (frame.IsEmpty)
        {
            BufferOffers++;
            return false;
        }

        if (Refuses)
        {
            return false;
        }

        // A front end writes its header there.
        frame[..HeaderRoom].Fill(Header);
        Delivered.Add(frame[HeaderRoom..].ToArray());
        return true;
    }

    public bool TryDeliverPieces(BlockRequest request, ReadOnlySpan<ReadOnlyMemory<byte>> pieces)
    {
        if (Refuses)
        {
            return false;
        }

        var all = new List<byte>();
        foreach (ReadOnlyMemory<byte> piece in pieces)
        {
            all.AddRange(piece.Span);
        }

        Delivered.Add([.. all]);
        return true;
    }

    public bool TryDeliverFromPipe(BlockRequest request, int pipeReadEnd, int length)
    {
        if (RefusesPipe)
        {
            return false;
        }

        byte[] all = new byte[HeaderRoom + length];
        for (int done = 0; done < all.Length;)
        {
            int got = Posix.Read(pipeReadEnd, all.AsSpan(done));
            if (got <= 0)
            {
                throw new InvalidOperationException($"The pipe held {done} of {all.Length} bytes.");
            }

            done += got;
        }

        if (all.AsSpan(0, HeaderRoom).IndexOfAnyExcept(Header) >= 0)
        {
            throw new InvalidOperationException("The pipe does not begin with the header.");
        }

        Piped.Add(all[HeaderRoom..]);
        return true;
    }

    public void WriteHeader(BlockRequest request, Span<byte> header) => header.Fill(Header);
}
