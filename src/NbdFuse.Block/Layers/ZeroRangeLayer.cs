namespace NbdFuse.Block.Layers;

/// <summary>
/// Answers reads that lie wholly in what is known to read as zeroes, without asking the device; learns what does by BLOCK_STATUS, ahead of
/// whoever reads in order. Over all stateless layers, below the cache.
/// </summary>
/// <remarks>
/// COHERENCE: a range is known from the answer to a question during the whole of which no change to it was under way, until a change to
/// it begins. Questions are asked only while no change is under way at all; what begins meanwhile is cut out of the answer. Whoever
/// knows that the content may have become another without a change from above (<see cref="Forget"/>) has all forgotten, and the
/// question that is under way come to nothing.
/// COST: a question is about up to 1 GiB and is asked of ranges that are being read in order, so that random reads and dense devices pay
/// next to nothing; and no more of them than one for each 256 KiB of such reads and of zeroes found.
/// THREADING: the loop's thread only. Nothing is allocated per request.
/// </remarks>
public sealed class ZeroRangeLayer : IBlockDevice, IBlockCompletion, IRequestWithdrawal
{
    /// <summary>Longest question in bytes.</summary>
    internal const long LongestQuestion = 1 << 30;

    /// <summary>A device that finds a question too long is asked about less, down to this many bytes.</summary>
    private const long SmallestQuestion = 1 << 20;

    /// <summary>Bytes read in order before it is worth a question.</summary>
    internal const long OrderBytes = 256 << 10;

    /// <summary>How far ahead of a reader it shall be known what comes, in bytes.</summary>
    internal const long Lookahead = 16 << 20;

    // Reads of one who reads in order, several at a time, do not come exactly in order.
    private const long Backward = 1 << 20;
    private const long Forward = 1 << 20;
    private const long BytesPerQuestion = 256 << 10;
    private const long MostSaved = 64 * BytesPerQuestion;
    private const long QuestionState = 0;
    private const long ChangeState = 1;
    private readonly IBlockDevice _lower;
    private readonly HoleMap _zeroes;
    private readonly BlockRequest _question;

    // The reader in order: up to where, since how many bytes, and up to where it is known what is there.
    private long _readEnd;
    private long _orderly;
    private long _frontier;
    private long _budget = MostSaved;
    private long _longest = LongestQuestion;
    private int _changes;
    private long _doubtStart;
    private long _doubtEnd;
    private bool _isAsking;
    private bool _isVoid;
    private bool _isOff;

    /// <summary>Makes the layer; nothing is known yet.</summary>
    /// <param name="lower">A device that understands BLOCK_STATUS of any range.</param>
    /// <param name="ready">Ready list of the loop.</param>
    /// <param name="capacity">Most ranges to remember.</param>
    public ZeroRangeLayer(IBlockDevice lower, ReadyList ready, int capacity = HoleMap.DefaultCapacity)
    {
        _lower = lower;
        _zeroes = new HoleMap(capacity);
        _question = new BlockRequest(ready, 0);
    }

    /// <inheritdoc/>
    public BlockDeviceInfo Info => _lower.Info;

    /// <summary>Reads that were answered here. May be asked on any thread.</summary>
    public long Answered { get; private set; }

    /// <summary>Questions that were asked. May be asked on any thread.</summary>
    public long Questions { get; private set; }

    /// <summary>The content may have become another without a change from above: nothing is known any more.</summary>
    public void Forget()
    {
        _zeroes.Clear();
        _frontier = 0;
        _isVoid = true;
        _isOff = false;
    }

    /// <summary>The device has failed: whoever reads must hear so.</summary>
    public void Suspend()
    {
        Forget();
        _isOff = true;
    }

    /// <inheritdoc/>
    public void Submit(BlockRequest request)
    {
        if (request.Operation == BlockOperation.Read)
        {
            bool isZero = _zeroes.Covers(request.Offset, request.End);
            Note(request.Offset, request.End);
            if (isZero)
            {
                Answered++;
                request.Buffer.Span.Clear();
                request.Complete(0);
                return;
            }
        }
        else if (request.IsMutating)
        {
            _zeroes.Remove(request.Offset, request.End);
            _changes++;
            if (_isAsking)
            {
                _doubtStart = Math.Min(_doubtStart, request.Offset);
                _doubtEnd = Math.Max(_doubtEnd, request.End);
            }

            request.Push(this, ChangeState);
        }

        _lower.Submit(request);
    }

    /// <inheritdoc/>
    public void EndTurn()
    {
        if (!_isAsking && !_isOff && _changes == 0 && _orderly >= OrderBytes)
        {
            TryAsk();
        }

        _lower.EndTurn();
    }

    /// <inheritdoc/>
    public void AdoptSize() => _lower.AdoptSize();

    /// <inheritdoc/>
    public bool TryWithdraw(BlockRequest request) => _lower is IRequestWithdrawal lower && lower.TryWithdraw(request);

    /// <inheritdoc/>
    bool IBlockCompletion.OnCompleted(BlockRequest request, long state)
    {
        if (state == QuestionState)
        {
            _isAsking = false;
            Learn();
            return false;
        }

        // However it ended: what it may have done was cut out when it began, and cannot happen any more.
        _changes--;
        return true;
    }

    private void Note(long offset, long end)
    {
        if (offset < _readEnd - Backward || offset > _readEnd + Forward)
        {
            _orderly = 0;
            _readEnd = end;
            _frontier = 0;
            return;
        }

        _orderly += end - offset;
        _readEnd = Math.Max(_readEnd, end);
        _budget = Math.Min(MostSaved, _budget + (end - offset));
    }

    private void TryAsk()
    {
        long from = _zeroes.EndAt(Math.Max(_frontier, _readEnd));
        if (from >= Info.Size || from - _readEnd >= Lookahead || _budget < BytesPerQuestion)
        {
            return;
        }

        _budget -= BytesPerQuestion;
        _isAsking = true;
        _isVoid = false;
        _doubtStart = long.MaxValue;
        _doubtEnd = 0;
        Questions++;
        _question.Reset();
        _question.Operation = BlockOperation.BlockStatus;
        _question.Offset = from;
        _question.Length = Math.Min(_longest, Info.Size - from);
        _question.Push(this, QuestionState);
        _lower.Submit(_question);
    }

    private void Learn()
    {
        if (_isVoid)
        {
            return;
        }

        if (_question.Error != 0 || _question.StatusLength <= 0)
        {
            if (_question.Error is BlockErrno.EINVAL or BlockErrno.EOVERFLOW && _question.Length > SmallestQuestion)
            {
                _longest = Math.Max(_question.Length / 2, SmallestQuestion);
                return;
            }

            // Until all is forgotten the next time: it would not know better in a moment.
            _isOff = true;
            return;
        }

        long end = _question.Offset + _question.StatusLength;
        if (_question.Offset <= _readEnd + Lookahead && end > _frontier)
        {
            _frontier = end;
        }

        if ((_question.Status & BlockStatus.Zero) == 0)
        {
            return;
        }

        if (_zeroes.IsFull)
        {
            // Old ones lie behind the reader, or belong to one that has gone.
            _zeroes.Clear();
        }

        _zeroes.Add(_question.Offset, end);
        if (_doubtStart < _doubtEnd)
        {
            _zeroes.Remove(_doubtStart, _doubtEnd);
        }

        _budget = Math.Min(MostSaved, _budget + _question.StatusLength);
    }
}
