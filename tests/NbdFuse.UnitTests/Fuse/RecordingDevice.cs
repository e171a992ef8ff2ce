using NbdFuse.Block;

namespace NbdFuse.UnitTests.Fuse;

/// <summary>A device in memory that notes what it is asked and, when told to, keeps requests until they are let go.</summary>
internal sealed class RecordingDevice : IBlockDevice
{
    private readonly MemoryBlockDevice _memory;
    private readonly List<BlockRequest> _held = [];

    public RecordingDevice(BlockDeviceInfo info)
    {
        _memory = new MemoryBlockDevice(info);
    }

    public BlockDeviceInfo Info => _memory.Info;

    public Span<byte> Content => _memory.Content;

    public List<(BlockOperation Operation, long Offset, long Length, BlockRequestFlags Flags)> Log { get; } = [];

    public bool Holds { get; set; }

    public int Error { get; set; }

    public bool Records { get; set; } = true;

    public Func<BlockRequest, bool>? Intercept { get; set; }

    public IReadOnlyList<BlockRequest> Held => _held;

    public void Submit(BlockRequest request)
    {
        if (Records)
        {
            Log.Add((request.Operation, request.Offset, request.Length, request.Flags));
        }

        if (Intercept?.Invoke(request) == true)
        {
            return;
        }

        if (Holds)
        {
            _held.Add(request);
        }
        else if (Error != 0)
        {
            request.Complete(Error);
        }
        else
        {
            _memory.Submit(request);
        }
    }

    public void EndTurn()
    {
    }

    /// <summary>Executes everything that was held.</summary>
    public void LetGo()
    {
        foreach (BlockRequest request in _held)
        {
            _memory.Submit(request);
        }

        _held.Clear();
    }
}
