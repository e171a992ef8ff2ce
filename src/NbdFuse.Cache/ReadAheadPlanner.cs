namespace NbdFuse.Cache;

/// <summary>
/// Recognises readers that go in order or in equal steps, several at once, and says what to read ahead for each, and how far.
/// </summary>
/// <remarks>
/// The window of a stream begins small and doubles when its reader had to wait for what was under way: that is when the time
/// of a read times the reader's rate exceeds it. After a doubling the rate must have risen, or the window goes back: then the
/// link, or the reader, is the limit, and more under way would only stand in front of other reads. What is dropped
/// unread halves it.
/// THREADING: one thread. Nothing is allocated after the constructor. Time comes from the caller.
/// </remarks>
internal sealed class ReadAheadPlanner
{
    /// <summary>Most streams at once.</summary>
    public const int MaximumStreams = 16;

    /// <summary>The smallest window, in bytes.</summary>
    public const int SmallestWindow = 64 << 10;

    private const int LargestFirstWindow = 512 << 10;
    private const int ExpiresAfterReads = 4096;
    private const int IdleAfterReads = 64;
    private const int StrikesUntilForgotten = 4;
    private const int FirstHold = 4;
    private const int LongestHold = 64;
    private const double WorthGrowing = 1.04;
    private readonly ReadStream[] _streams = new ReadStream[MaximumStreams];
    private readonly ReadNursery _nursery = new();
    private long _size;
    private readonly int _chunk;
    private readonly long _pool;
    private int _used;
    private long _serial;

    /// <summary>Makes a planner that knows of no stream.</summary>
    /// <param name="size">Bytes of the device.</param>
    /// <param name="chunk">Most bytes of one read ahead, a power of two.</param>
    /// <param name="pool">Bytes of memory for all streams.</param>
    public ReadAheadPlanner(long size, int chunk, long pool)
    {
        _size = size;
        _chunk = chunk;
        _pool = pool;
    }

    /// <summary>Reads seen so far: the clock by which streams and segments age.</summary>
    public long Tick { get; private set; }

    /// <summary>Places of streams that have been in use: all live ones are below it.</summary>
    public int Places => _used;

    /// <summary>A stream has moved on since this was cleared.</summary>
    public bool HasWork { get; set; }

    /// <summary>A place for a stream.</summary>
    /// <param name="place">0 to <see cref="Places"/> - 1.</param>
    public ref ReadStream this[int place] => ref _streams[place];

    /// <summary>The device has grown.</summary>
    /// <param name="size">Its bytes.</param>
    public void Grow(long size) => _size = size;

    /// <summary>Notes a read.</summary>
    /// <param name="offset">Its first byte.</param>
    /// <param name="length">Its bytes.</param>
    /// <returns>The place of its stream, or -1.</returns>
    public int Note(long offset, long length)
    {
        Tick++;
        for (int place = 0; place < _used; place++)
        {
            ref ReadStream stream = ref _streams[place];
            if (!stream.IsLive)
            {
                continue;
            }

            if (Tick - stream.Tick > ExpiresAfterReads)
            {
                Forget(place);
            }
            else if (Continues(ref stream, offset, length))
            {
                stream.Tick = Tick;
                stream.Reads++;
                HasWork |= stream.IsWanted;
                return place;
            }
        }

        return _nursery.Add(offset, length, out long stride, out long run) ? Begin(offset, length, stride, run) : -1;
    }

    /// <summary>Tells whether a stream is the one that was in a place at some time.</summary>
    /// <param name="place">The place, or -1.</param>
    /// <param name="serial">The serial number at that time.</param>
    public bool IsSame(int place, long serial) => place >= 0 && _streams[place].IsLive && _streams[place].Serial == serial;

    /// <summary>Says what a stream would have read next.</summary>
    /// <param name="place">Its place.</param>
    /// <param name="start">First byte, at a granule.</param>
    /// <param name="end">First byte after it, at a granule or the end of the device.</param>
    /// <returns>False when it is far enough ahead.</returns>
    public bool TryPlan(int place, out long start, out long end)
    {
        ref ReadStream stream = ref _streams[place];
        if (stream.Stride != 0)
        {
            return TryPlanStride(ref stream, out start, out end);
        }

        stream.Ahead = Math.Max(stream.Ahead, stream.Next);
        start = Floor(stream.Ahead);
        if (start >= _size)
        {
            end = start;
            return false;
        }

        // At multiples of the chunk: whole blocks of the server's, and streams that meet share what they read.
        int chunk = Chunk(stream.Window);
        long left = _size - start;
        long toBoundary = chunk - (start & (chunk - 1));
        end = start + Math.Min(left, toBoundary);
        return end - stream.Next <= stream.Window || start <= stream.Next;
    }

    /// <summary>Notes that what <see cref="TryPlan"/> said is under way, or need not be.</summary>
    /// <param name="place">The stream's place.</param>
    /// <param name="end">What TryPlan gave.</param>
    public void Advance(int place, long end)
    {
        ref ReadStream stream = ref _streams[place];
        stream.Ahead = stream.Stride == 0 ? end : stream.Ahead + stream.Stride;
    }

    /// <summary>Notes that the reader had to wait for what is under way.</summary>
    /// <param name="place">The stream's place.</param>
    /// <param name="now">Timestamp.</param>
    public void Stalled(int place, long now)
    {
        ref ReadStream stream = ref _streams[place];
        long distance = Math.Abs(stream.Next - stream.RoundStart);
        if (stream.RoundTime == 0)
        {
            BeginRound(ref stream, now);
            return;
        }

        if (distance < stream.RoundEnd)
        {
            return;
        }

        double rate = distance / (double)Math.Max(1, now - stream.RoundTime);
        if (stream.IsProbing)
        {
            stream.IsProbing = false;
            if (rate < stream.RateBefore * WorthGrowing)
            {
                stream.Window = Math.Max(SmallestWindow, stream.Window / 2);
                stream.Hold = stream.NextHold;
                stream.NextHold = Math.Min(LongestHold, stream.NextHold * 2);
            }
            else
            {
                stream.NextHold = FirstHold;
            }
        }

        int limit = WindowLimit();
        if (stream.Hold > 0)
        {
            stream.Hold--;
        }
        else if (stream.Window < limit)
        {
            stream.RateBefore = rate;
            stream.Window = (int)Math.Min(limit, stream.Window * 2L);
            stream.IsProbing = true;
        }

        BeginRound(ref stream, now);
    }

    /// <summary>Notes that something which was read ahead has been used up.</summary>
    /// <param name="place">The stream's place.</param>
    public void Consumed(int place) => _streams[place].Strikes = 0;

    /// <summary>Notes that something which was read ahead was dropped, mostly unread.</summary>
    /// <param name="place">The stream's place.</param>
    public void Wasted(int place)
    {
        ref ReadStream stream = ref _streams[place];
        stream.Window = Math.Max(SmallestWindow, stream.Window / 2);
        stream.IsProbing = false;
        if (++stream.Strikes >= StrikesUntilForgotten)
        {
            Forget(place);
        }
    }

    /// <summary>Ends a stream.</summary>
    /// <param name="place">Its place.</param>
    public void Forget(int place) => _streams[place].IsLive = false;

    /// <summary>Tells whether others have read a lot since a stream last did: they may have its memory.</summary>
    /// <param name="place">The stream's place.</param>
    public bool IsIdle(int place) => Tick - _streams[place].Tick > IdleAfterReads;

    /// <summary>Tells whether a range lies before its stream: will be read if the stream goes on.</summary>
    /// <param name="place">The stream's place.</param>
    /// <param name="start">First byte.</param>
    /// <param name="end">First byte after it.</param>
    public bool IsBefore(int place, long start, long end)
    {
        ref ReadStream stream = ref _streams[place];
        return stream.Stride >= 0 ? end > stream.Next - Slack(stream.Length) : start < stream.Next + Slack(stream.Length);
    }

    private static long Floor(long offset) => offset & ~(long)(CacheMemoryLayout.Granule - 1);

    /// <summary>How far reads of one stream may be out of order: several are in flight.</summary>
    private static long Slack(long length) => Math.Clamp(length * 32, 64 << 10, 1 << 20);

    private static bool Continues(ref ReadStream stream, long offset, long length)
    {
        long distance = offset - stream.Next;
        if (stream.Stride == 0)
        {
            long slack = Slack(length);
            if (distance < -slack || distance > slack)
            {
                return false;
            }

            stream.Length = (int)Math.Min(length, int.MaxValue);
            if (offset + length > stream.Next)
            {
                stream.Next = offset + length;
                stream.IsWanted = true;
            }

            return true;
        }

        long limit = Math.Abs(stream.Stride) * 4;
        if (distance < -limit || distance > limit || distance % stream.Stride != 0)
        {
            return false;
        }

        if (distance / stream.Stride >= 0)
        {
            stream.Next = offset + stream.Stride;
            stream.IsWanted = true;
        }

        return true;
    }

    private int Begin(long offset, long length, long stride, long run)
    {
        int place = FindPlace();
        ref ReadStream stream = ref _streams[place];

        // Steps that leave little out are read whole: one long read is cheaper than many short ones.
        long rounded = Math.Max(length, CacheMemoryLayout.Granule);
        if (stride > 0 && stride <= rounded * 2)
        {
            stride = 0;
        }

        long next = stride == 0 ? offset + length : offset + stride;
        stream = default;
        stream.IsLive = true;
        stream.Serial = ++_serial;
        stream.Next = next;
        stream.Ahead = next;
        stream.Stride = stride;
        stream.Length = (int)Math.Min(length, int.MaxValue);
        stream.Tick = Tick;
        stream.NextHold = FirstHold;
        stream.IsWanted = true;
        long window = stride == 0 ? run * 8 : rounded * 8;
        long largest = Math.Min(Math.Max(LargestFirstWindow, length * 2), WindowLimit());
        stream.Window = (int)Math.Clamp(window, SmallestWindow, largest);
        HasWork = true;
        return place;
    }

    private int FindPlace()
    {
        int oldest = 0;
        for (int place = 0; place < _used; place++)
        {
            if (!_streams[place].IsLive)
            {
                return place;
            }

            if (_streams[place].Tick < _streams[oldest].Tick)
            {
                oldest = place;
            }
        }

        if (_used < MaximumStreams)
        {
            return _used++;
        }

        return oldest;
    }

    private bool TryPlanStride(ref ReadStream stream, out long start, out long end)
    {
        start = end = 0;
        if ((stream.Stride > 0 && stream.Ahead < stream.Next) || (stream.Stride < 0 && stream.Ahead > stream.Next))
        {
            stream.Ahead = stream.Next;
        }

        long steps = Math.Abs((stream.Ahead - stream.Next) / stream.Stride);
        int rounded = Math.Max(stream.Length, CacheMemoryLayout.Granule);
        if (stream.Ahead < 0 || stream.Ahead > _size - stream.Length || steps >= Math.Min(stream.Window / rounded, _pool / _chunk / 4))
        {
            return false;
        }

        start = Floor(stream.Ahead);
        long last = Floor(stream.Ahead + stream.Length - 1);
        end = _size - last <= CacheMemoryLayout.Granule ? _size : last + CacheMemoryLayout.Granule;
        return end - start <= _chunk;
    }

    private void BeginRound(ref ReadStream stream, long now)
    {
        stream.RoundStart = stream.Next;
        stream.RoundTime = now;
        stream.RoundEnd = 2L * stream.Window;
    }

    private int Chunk(int window)
    {
        int half = (int)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)window / 2);
        return Math.Min(_chunk, Math.Max(Math.Min(_chunk, SmallestWindow), half));
    }

    private int WindowLimit()
    {
        int live = 0;
        for (int place = 0; place < _used; place++)
        {
            live += _streams[place].IsLive && !IsIdle(place) ? 1 : 0;
        }

        return (int)Math.Clamp(_pool * 3 / 4 / Math.Max(1, live), SmallestWindow, int.MaxValue / 4);
    }
}
