using NbdFuse.Block;

namespace NbdFuse.UnitTests.Cache;

/// <summary>
/// A device that executes a request at one time and replies to it at another, as a server over a network does: what a late
/// reply to a read carries may have been overwritten since.
/// </summary>
internal sealed class RacyDevice(BlockDeviceInfo info) : IBlockDevice
{
    private byte[] _content = new byte[info.Size];

    public BlockDeviceInfo Info { get; private set; } = info;

    public List<BlockRequest> Waiting { get; } = [];

    public List<(BlockRequest Request, int Error)> Executed { get; } = [];

    public int Reads { get; private set; }

    public Span<byte> Content => _content;

    public void Submit(BlockRequest request)
    {
        Reads += request.Operation == BlockOperation.Read ? 1 : 0;
        Waiting.Add(request);
    }

    public void EndTurn()
    {
    }

    /// <summary>Executes one that waits. A fault may come before or after its effect.</summary>
    public void Execute(int index, int error = 0, bool hasEffect = true)
    {
        BlockRequest request = Waiting[index];
        Waiting.RemoveAt(index);
        Executed.Add((request, error));
        if (request.Operation is BlockOperation.Flush or BlockOperation.Cache || !hasEffect)
        {
            return;
        }

        Span<byte> range = _content.AsSpan((int)request.Offset, (int)request.Length);
        switch (request.Operation)
        {
            case BlockOperation.Read when error != 0:
                // What a failed read leaves in the buffer is worthless.
                request.Buffer.Span.Fill(0xee);
                break;
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

    public void Reply(int index)
    {
        (BlockRequest request, int error) = Executed[index];
        Executed.RemoveAt(index);
        request.Complete(error);
    }

    /// <summary>Executes and replies to one, the oldest by default.</summary>
    public void End(int index = 0, int error = 0)
    {
        Execute(index, error, error == 0);
        Reply(Executed.Count - 1);
    }

    /// <summary>Has the device grow.</summary>
    public void Grow(int size)
    {
        Info = Info with { Size = size };
        Array.Resize(ref _content, size);
    }
}
