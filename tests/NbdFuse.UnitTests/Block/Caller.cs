using NbdFuse.Block;
using Xunit;

namespace NbdFuse.UnitTests.Block;

/// <summary>The front end of a test: submits requests and counts how often each of them ends.</summary>
internal sealed class Caller(IBlockDevice device, ReadyList ready) : IBlockCompletion
{
    private readonly List<BlockRequest> _all = [];

    /// <summary>Requests that have ended, in that order.</summary>
    public List<BlockRequest> Ended { get; } = [];

    /// <summary>What READs offer their payload to.</summary>
    public IPayloadSink? Sink { get; set; }

    public int InFlight => _all.Count - Ended.Count;

    public BlockRequest Submit(
        BlockOperation operation, long offset = 0, long length = 0, BlockRequestFlags flags = BlockRequestFlags.None, byte[]? data = null)
    {
        var request = new BlockRequest(ready, _all.Count)
        {
            Operation = operation,
            Offset = offset,
            Length = length,
            Flags = flags,
        };
        if (operation is BlockOperation.Read or BlockOperation.Write)
        {
            request.Buffer = data ?? new byte[length];
        }

        request.Sink = operation == BlockOperation.Read ? Sink : null;
        _all.Add(request);
        request.Push(this);
        device.Submit(request);
        return request;
    }

    public BlockRequest Write(long offset, byte[] data, BlockRequestFlags flags = BlockRequestFlags.None) =>
        Submit(BlockOperation.Write, offset, data.Length, flags, data);

    public void AssertEnded(BlockRequest request, int error = 0)
    {
        ready.Run();
        Assert.Single(Ended, ended => ReferenceEquals(ended, request));
        Assert.Equal(error, request.Error);
    }

    public void AssertNotEnded(BlockRequest request)
    {
        ready.Run();
        Assert.DoesNotContain(request, Ended);
    }

    public bool OnCompleted(BlockRequest request, long state)
    {
        Ended.Add(request);
        return false;
    }
}
