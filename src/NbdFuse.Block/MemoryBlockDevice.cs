namespace NbdFuse.Block;

/// <summary>A device in memory: the reference that every stack of layers is compared with, and a scratch disk.</summary>
/// <remarks>THREADING: as <see cref="IBlockDevice"/>; requests are executed inside Submit, in order.</remarks>
public sealed class MemoryBlockDevice : IBlockDevice
{
    private readonly byte[] _content;

    /// <summary>Makes a device filled with zeroes.</summary>
    /// <param name="size">Bytes, 0 to <see cref="Array.MaxLength"/>.</param>
    public MemoryBlockDevice(int size)
        : this(new BlockDeviceInfo
        {
            Size = size,
            CanFlush = true,
            CanFua = true,
            CanTrim = true,
            CanWriteZeroes = true,
            CanFastZero = true,
            CanCache = true,
        })
    {
    }

    /// <summary>Makes a device with the given limits and capabilities.</summary>
    /// <param name="info">Its size must fit an array.</param>
    public MemoryBlockDevice(BlockDeviceInfo info)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(info.Size, Array.MaxLength);
        Info = info;
        _content = new byte[info.Size];
    }

    /// <inheritdoc/>
    public BlockDeviceInfo Info { get; }

    /// <summary>The bytes themselves.</summary>
    public Span<byte> Content => _content;

    /// <summary>Number of FLUSHes executed.</summary>
    public long Flushes { get; private set; }

    /// <inheritdoc/>
    public void Submit(BlockRequest request)
    {
        request.Complete(Execute(request));
    }

    /// <inheritdoc/>
    public void EndTurn()
    {
    }

    private int Execute(BlockRequest request)
    {
        if (request.Operation == BlockOperation.Flush)
        {
            Flushes++;
            return 0;
        }

        if (request.Offset < 0 || request.Length < 0 || request.End > _content.Length)
        {
            return request.IsMutating ? BlockErrno.ENOSPC : BlockErrno.EINVAL;
        }

        if (request.IsMutating && Info.IsReadOnly)
        {
            return BlockErrno.EROFS;
        }

        Span<byte> range = _content.AsSpan((int)request.Offset, (int)request.Length);
        switch (request.Operation)
        {
            case BlockOperation.Read:
                range.CopyTo(request.Buffer.Span);
                break;
            case BlockOperation.Write:
                request.Buffer.Span.CopyTo(range);
                break;
            case BlockOperation.WriteZeroes:
            case BlockOperation.Trim:
                range.Clear();
                break;
        }

        return 0;
    }
}
