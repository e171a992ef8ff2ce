namespace NbdFuse.Block.Layers;

/// <summary>
/// Checks, between two levels, that the one above asks only for what the one below admits. A violation is a bug in
/// NbdFuse, so it throws. Tests and debug builds put it between all levels.
/// </summary>
/// <remarks>THREADING: the loop's thread only.</remarks>
public sealed class ContractCheckLayer : IBlockDevice, IBlockCompletion, IRequestWithdrawal
{
    private readonly IBlockDevice _lower;
    private readonly HashSet<BlockRequest> _inFlight = [];

    /// <summary>Makes the layer.</summary>
    /// <param name="lower">The device whose contract is checked.</param>
    public ContractCheckLayer(IBlockDevice lower) => _lower = lower;

    /// <inheritdoc/>
    public BlockDeviceInfo Info => _lower.Info;

    /// <summary>Requests that are below this level.</summary>
    public int InFlight => _inFlight.Count;

    /// <inheritdoc/>
    public void Submit(BlockRequest request)
    {
        Require(_inFlight.Add(request), request, "is in flight already");
        BlockDeviceInfo info = _lower.Info;
        if (request.Operation == BlockOperation.Flush)
        {
            Require(request.Offset == 0 && request.Length == 0, request, "has a range");
            Require(info.CanFlush, request, "is not supported");
        }
        else
        {
            Require(request.Length > 0, request, "is empty");
            Require(request.Offset >= 0 && request.End <= info.Size, request, "leaves the device");
            Require(request.Offset % info.MinimumBlock == 0, request, "does not start at a block");
            Require(request.End % info.MinimumBlock == 0 || request.End == info.Size, request, "does not end at a block");
        }

        Require(!request.IsMutating || !info.IsReadOnly, request, "changes a read-only device");
        Require(!request.Flags.HasFlag(BlockRequestFlags.Fua) || (info.CanFua && request.IsMutating), request, "has FUA");
        Require(
            !request.Flags.HasFlag(BlockRequestFlags.NoHole) || request.Operation == BlockOperation.WriteZeroes, request, "has NoHole");
        Require(
            !request.Flags.HasFlag(BlockRequestFlags.FastZero) || (request.Operation == BlockOperation.WriteZeroes && info.CanFastZero),
            request, "has FastZero");
        switch (request.Operation)
        {
            case BlockOperation.Read:
            case BlockOperation.Write:
                Require(request.Buffer.Length == request.Length, request, "has a buffer of another length");
                Require(request.Length <= info.MaximumPayload, request, "is longer than the maximum payload");
                break;
            case BlockOperation.Trim:
                Require(info.CanTrim, request, "is not supported");
                Require(request.Length <= info.MaximumTrim, request, "is too long");
                break;
            case BlockOperation.WriteZeroes:
                Require(info.CanWriteZeroes, request, "is not supported");
                Require(request.Length <= info.MaximumZeroes, request, "is too long");
                break;
            case BlockOperation.BlockStatus:
                Require(info.CanBlockStatus, request, "is not supported");
                break;
            case BlockOperation.Cache:
                Require(info.CanCache, request, "is not supported");
                Require(request.Length <= info.MaximumZeroes, request, "is too long");
                break;
        }

        request.Push(this);
        _lower.Submit(request);
    }

    /// <inheritdoc/>
    public bool TryWithdraw(BlockRequest request) => _lower is IRequestWithdrawal lower && lower.TryWithdraw(request);

    /// <inheritdoc/>
    public void EndTurn() => _lower.EndTurn();

    /// <inheritdoc/>
    public void AdoptSize() => _lower.AdoptSize();

    /// <inheritdoc/>
    bool IBlockCompletion.OnCompleted(BlockRequest request, long state)
    {
        Require(_inFlight.Remove(request), request, "ended twice");
        Require(request.Error is >= 0 and < 4096, request, "ended with an error that is no errno");
        return true;
    }

    private static void Require(bool condition, BlockRequest request, string complaint)
    {
        if (!condition)
        {
            throw new InvalidOperationException(
                $"Contract: {request.Operation} of {request.Length} bytes at {request.Offset} {complaint}.");
        }
    }
}
