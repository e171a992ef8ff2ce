using NbdFuse.Block;

namespace NbdFuse.Cache;

/// <summary>
/// A layer that notes which granules are read, in which order: what <see cref="AccessTrace"/> is made of. It stands over the cache,
/// so that it sees what readers ask for.
/// </summary>
/// <remarks>
/// THREADING: the loop's thread only, but for <see cref="Snapshot"/>, <see cref="Recorded"/> and <see cref="IsFull"/>. What has been
/// recorded never changes: a range is published when the next one begins, so that whoever takes a snapshot needs no lock. Nothing is
/// allocated after the constructor.
/// </remarks>
public sealed class AccessRecorder : IBlockDevice, IRequestWithdrawal
{
    /// <summary>Ranges that are recorded; what comes later is not. A boot has some thousands.</summary>
    public const int Capacity = AccessTrace.MaximumEntries / 2;

    private const int GranuleShift = CacheMemoryLayout.GranuleShift;
    private readonly IBlockDevice _lower;
    private readonly long[] _start = new long[Capacity];
    private readonly int[] _count = new int[Capacity];
    private int _open;
    private int _published;

    /// <summary>Makes a recorder.</summary>
    /// <param name="lower">What it stands over.</param>
    public AccessRecorder(IBlockDevice lower) => _lower = lower;

    /// <inheritdoc/>
    public BlockDeviceInfo Info => _lower.Info;

    /// <summary>Ranges recorded, without the one that may go on.</summary>
    public int Recorded => Volatile.Read(ref _published);

    /// <summary>Nothing more is recorded.</summary>
    public bool IsFull => Recorded == Capacity;

    /// <inheritdoc/>
    public void Submit(BlockRequest request)
    {
        if (request.Operation == BlockOperation.Read && _published < Capacity)
        {
            Note(request.Offset >> GranuleShift, ((request.End - 1) >> GranuleShift) + 1);
        }

        _lower.Submit(request);
    }

    /// <inheritdoc/>
    public void EndTurn() => _lower.EndTurn();

    /// <inheritdoc/>
    public void AdoptSize() => _lower.AdoptSize();

    /// <inheritdoc/>
    public bool TryWithdraw(BlockRequest request) => _lower is IRequestWithdrawal lower && lower.TryWithdraw(request);

    /// <summary>Ends the range that may go on, so that a snapshot has it, too. On the loop, or after its end.</summary>
    public void Close()
    {
        if (_open > 0 && _published < Capacity)
        {
            Publish();
        }
    }

    /// <summary>What was recorded so far. From any thread.</summary>
    public AccessTrace Snapshot()
    {
        var reads = new (long Granule, int Count)[Recorded];
        for (int i = 0; i < reads.Length; i++)
        {
            reads[i] = (_start[i], _count[i]);
        }

        return AccessTrace.Of(Info.Size, reads);
    }

    private void Note(long start, long end)
    {
        if (_open > 0)
        {
            long first = _start[_published];
            long last = first + _open;
            if (start >= first && start <= last && end - first <= AccessTrace.MaximumGranules)
            {
                // Goes on where the last one ended, or lies within it.
                _open = (int)(Math.Max(last, end) - first);
                return;
            }

            Publish();
        }

        // A range longer than an entry may be.
        for (; _published < Capacity && end - start > AccessTrace.MaximumGranules; start += AccessTrace.MaximumGranules)
        {
            _start[_published] = start;
            _open = AccessTrace.MaximumGranules;
            Publish();
        }

        if (_published < Capacity)
        {
            _start[_published] = start;
            _open = (int)(end - start);
        }
    }

    private void Publish()
    {
        _count[_published] = _open;
        _open = 0;
        Volatile.Write(ref _published, _published + 1);
    }
}
