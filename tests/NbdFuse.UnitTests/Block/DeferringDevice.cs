using NbdFuse.Block;

namespace NbdFuse.UnitTests.Block;

/// <summary>A device that holds every request until the test ends it, in whatever order and with whatever error.</summary>
internal sealed class DeferringDevice(BlockDeviceInfo info) : IBlockDevice
{
    private byte[]? _content = info.Size <= 64 << 20 ? new byte[info.Size] : null;

    public BlockDeviceInfo Info { get; private set; } = info;

    /// <summary>What is in flight, oldest first.</summary>
    public List<BlockRequest> Held { get; } = [];

    /// <summary>Everything that ever came, as it came.</summary>
    public List<SeenRequest> Seen { get; } = [];

    public int Turns { get; private set; }

    public Span<byte> Content => _content;

    public void Submit(BlockRequest request)
    {
        Held.Add(request);
        Seen.Add(new SeenRequest(request.Operation, request.Flags, request.Offset, request.Length));
    }

    public void EndTurn() => Turns++;

    /// <summary>Ends one request; without an error it takes effect now.</summary>
    public void End(int index = 0, int error = 0)
    {
        BlockRequest request = Held[index];
        Held.RemoveAt(index);
        if (error == 0 && _content is not null && request.Operation is not (BlockOperation.Flush or BlockOperation.Cache))
        {
            Span<byte> range = _content.AsSpan((int)request.Offset, (int)request.Length);
            switch (request.Operation)
            {
                case BlockOperation.Read:
                    range.CopyTo(request.Buffer.Span);
                    break;
                case BlockOperation.Write:
                    request.Buffer.Span.CopyTo(range);
                    break;
                default:
                    range.Clear();
                    break;
            }
        }

        request.Complete(error);
    }

    /// <summary>Has the device grow.</summary>
    public void Grow(int size)
    {
        Info = Info with { Size = size };
        Array.Resize(ref _content, size);
    }
}
