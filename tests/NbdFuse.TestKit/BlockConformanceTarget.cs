using NbdFuse.Block;

namespace NbdFuse.TestKit;

/// <summary>What the adapters to <see cref="IBlockDevice"/> have in common.</summary>
public abstract class BlockConformanceTarget : IConformanceTarget, IBlockCompletion
{
    private readonly BlockDeviceInfo _info;

    private protected BlockConformanceTarget(BlockDeviceInfo info)
    {
        _info = info;
        LargeTransfer = (int)Math.Min(info.MaximumPayload, 4 << 20);
    }

    /// <inheritdoc/>
    public long Size => _info.Size;

    /// <inheritdoc/>
    public int MinimumBlock => _info.MinimumBlock;

    /// <inheritdoc/>
    public bool IsReadOnly => _info.IsReadOnly;

    /// <inheritdoc/>
    public bool CanZero => _info.CanWriteZeroes;

    /// <inheritdoc/>
    public bool CanTrim => _info.CanTrim;

    /// <inheritdoc/>
    public bool StartsInOrder { get; init; } = true;

    /// <inheritdoc/>
    public bool ShortReadAtEnd => false;

    /// <summary>
    /// By default what one request may carry, at most 4 MiB; a stack that splits is given more.
    /// </summary>
    public int LargeTransfer { get; init; }

    /// <inheritdoc/>
    public async Task<byte[]> ReadAsync(long offset, int length)
    {
        // Pinned: a device may hand the memory to the kernel.
        byte[] buffer = GC.AllocateArray<byte>(length, pinned: true);
        int errno = await Run(BlockOperation.Read, BlockRequestFlags.None, offset, length, buffer).ConfigureAwait(false);
        return errno == 0 ? buffer : throw new ConformanceErrorException(errno, $"read of {length} bytes at {offset}");
    }

    /// <inheritdoc/>
    public Task<int> WriteAsync(long offset, byte[] data, bool fua = false)
    {
        byte[] buffer = GC.AllocateArray<byte>(data.Length, pinned: true);
        data.CopyTo(buffer, 0);
        return Run(BlockOperation.Write, fua ? BlockRequestFlags.Fua : BlockRequestFlags.None, offset, data.Length, buffer);
    }

    /// <inheritdoc/>
    public Task<int> FlushAsync() => Run(BlockOperation.Flush, BlockRequestFlags.None, 0, 0, default);

    /// <inheritdoc/>
    public Task<int> TrimAsync(long offset, long length) =>
        Run(BlockOperation.Trim, BlockRequestFlags.None, offset, length, default);

    /// <inheritdoc/>
    public Task<int> ZeroAsync(long offset, long length, bool noHole) =>
        Run(BlockOperation.WriteZeroes, noHole ? BlockRequestFlags.NoHole : BlockRequestFlags.None, offset, length, default);

    /// <inheritdoc/>
    bool IBlockCompletion.OnCompleted(BlockRequest request, long state)
    {
        var operation = (PendingOperation)request.OwnerState!;
        int error = request.Error;
        Release(request);
        operation.Completion.TrySetResult(error);
        return false;
    }

    private protected abstract void Start(PendingOperation operation);

    private protected abstract void Release(BlockRequest request);

    private protected void Fill(BlockRequest request, PendingOperation operation)
    {
        request.Operation = operation.Operation;
        request.Flags = operation.Flags;
        request.Offset = operation.Offset;
        request.Length = operation.Length;
        request.Buffer = operation.Buffer;
        request.Owner = this;
        request.OwnerState = operation;
    }

    private Task<int> Run(BlockOperation kind, BlockRequestFlags flags, long offset, long length, Memory<byte> buffer)
    {
        var operation = new PendingOperation(kind, flags, offset, length, buffer);
        Start(operation);
        return operation.Completion.Task;
    }

    private protected sealed record PendingOperation(
        BlockOperation Operation, BlockRequestFlags Flags, long Offset, long Length, Memory<byte> Buffer)
    {
        public TaskCompletionSource<int> Completion { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
