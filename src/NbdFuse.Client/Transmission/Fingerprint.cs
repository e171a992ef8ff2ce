using System.Buffers.Binary;
using System.Numerics;
using NbdFuse.Block;

namespace NbdFuse.Client.Transmission;

/// <summary>
/// What an export is recognised by after its server was lost: digests of a few blocks that were read, or written and made
/// durable. Another disk, an empty one, or an older copy of the same one has something else there.
/// </summary>
/// <remarks>
/// Sampled by time, so that it costs nothing per request but a look at whether a change touches a sample.
/// THREADING: the export's loop. Nothing is allocated after construction.
/// </remarks>
internal sealed class Fingerprint
{
    /// <summary>Samples that are kept.</summary>
    public const int Capacity = 32;

    private const int SampleBytes = 4096;
    private const int EagerSamples = 8;
    private const int FillMs = 20;
    private const int RefreshMs = 500;
    private readonly FingerprintSample[] _samples = new FingerprintSample[Capacity];
    private long _nextMs = long.MinValue;
    private int _next;
    private int _taken;
    private BlockRequest? _pending;
    private long _pendingStart;
    private long _pendingEnd;

    /// <summary>Makes an empty fingerprint.</summary>
    /// <param name="block">Minimum block of the export, in bytes: a sample is at least one.</param>
    public Fingerprint(int block) => LongestSample = Math.Max(SampleBytes, block);

    /// <summary>Most bytes of one sample.</summary>
    public int LongestSample { get; }

    /// <summary>Samples that there are.</summary>
    public int Count { get; private set; }

    /// <summary>A sample.</summary>
    /// <param name="index">0 to <see cref="Count"/> - 1.</param>
    public ref readonly FingerprintSample this[int index] => ref _samples[index];

    /// <summary>
    /// Asks whether this READ should be sampled. Then its payload has to come by its buffer, and <see cref="EndRead"/> follows,
    /// or <see cref="DropRead"/>.
    /// </summary>
    /// <param name="request">The READ.</param>
    /// <param name="nowMs">Monotonic milliseconds.</param>
    public bool WantsRead(BlockRequest request, long nowMs)
    {
        if (nowMs < _nextMs || _pending is not null)
        {
            return false;
        }

        _pending = request;
        _pendingStart = request.Offset;
        _pendingEnd = request.Offset + Math.Min(request.Length, LongestSample);
        return true;
    }

    /// <summary>Whether this is the READ that is sampled.</summary>
    /// <param name="request">The READ.</param>
    public bool IsPending(BlockRequest request) => ReferenceEquals(request, _pending);

    /// <summary>Whether the READ that is sampled may still be: no change has touched its place meanwhile.</summary>
    public bool IsPendingValid => _pendingEnd > _pendingStart;

    /// <summary>Takes the sample.</summary>
    /// <param name="request">The READ, which has succeeded.</param>
    /// <param name="mark">Acknowledged changes that its content may depend on.</param>
    /// <param name="durable">Changes that are durable.</param>
    /// <param name="nowMs">Monotonic milliseconds.</param>
    public void EndRead(BlockRequest request, long mark, long durable, long nowMs)
    {
        if (IsPendingValid)
        {
            Add(request, mark, durable, nowMs);
        }

        _pending = null;
    }

    /// <summary>The READ that was to be sampled has not succeeded.</summary>
    public void DropRead() => _pending = null;

    /// <summary>Notes a WRITE that was acknowledged.</summary>
    /// <param name="request">The WRITE.</param>
    /// <param name="acknowledged">Changes acknowledged so far, this one included.</param>
    /// <param name="durable">Changes that are durable.</param>
    /// <param name="nowMs">Monotonic milliseconds.</param>
    public void NoteWrite(BlockRequest request, long acknowledged, long durable, long nowMs)
    {
        if (nowMs >= _nextMs)
        {
            Add(request, acknowledged, durable, nowMs);
        }
    }

    /// <summary>
    /// Forgets what a change touches. When it is submitted, because its content may be there from then on; and when it ends,
    /// because a READ in between may have seen either content.
    /// </summary>
    /// <param name="start">First byte.</param>
    /// <param name="end">First byte after it.</param>
    public void Forget(long start, long end)
    {
        if (_pending is not null && _pendingStart < end && start < _pendingEnd)
        {
            _pendingEnd = _pendingStart;
        }

        for (int i = Count - 1; i >= 0; i--)
        {
            ref FingerprintSample sample = ref _samples[i];
            if (sample.Offset < end && start < sample.Offset + sample.Length)
            {
                sample = _samples[--Count];
            }
        }
    }

    /// <summary>Forgets what depends on changes that are not durable: the server has lost them, and gets them from nobody.</summary>
    /// <param name="durable">Changes that are durable.</param>
    public void ForgetNewerThan(long durable)
    {
        for (int i = Count - 1; i >= 0; i--)
        {
            if (_samples[i].Acknowledged > durable)
            {
                _samples[i] = _samples[--Count];
            }
        }
    }

    /// <summary>Digest of a payload. No protection against anybody who wants a certain one; none is needed.</summary>
    /// <param name="data">The bytes.</param>
    public static ulong Digest(ReadOnlySpan<byte> data)
    {
        ulong hash = 0x9E3779B97F4A7C15 ^ (ulong)data.Length;
        while (data.Length >= sizeof(ulong))
        {
            hash = Mix(hash, BinaryPrimitives.ReadUInt64LittleEndian(data));
            data = data[sizeof(ulong)..];
        }

        foreach (byte value in data)
        {
            hash = Mix(hash, value);
        }

        return hash ^ (hash >> 29);
    }

    private static ulong Mix(ulong hash, ulong word) =>
        BitOperations.RotateLeft((hash ^ word) * 0xFF51AFD7ED558CCD, 31) * 0xC4CEB9FE1A85EC53;

    /// <summary>
    /// What can be compared after a crash is worth more than what can't yet: without that, a writer that never flushes would
    /// soon leave nothing to recognise the disk by.
    /// </summary>
    private int Victim(long durable)
    {
        for (int i = 0; i < Count; i++)
        {
            if (_samples[i].Acknowledged > durable)
            {
                return i;
            }
        }

        return _next++ % Capacity;
    }

    private void Add(BlockRequest request, long acknowledged, long durable, long nowMs)
    {
        // The first ones at once, once: a small working set that is changed again and again would keep the number small.
        _nextMs = _taken++ < EagerSamples ? nowMs : nowMs + (Count < Capacity ? FillMs : RefreshMs);
        int length = (int)Math.Min(request.Length, LongestSample);

        // Two digests of one place would be a waste, and a READ may come for a place that is there already.
        Forget(request.Offset, request.Offset + length);
        int index = Count < Capacity ? Count++ : Victim(durable);
        _samples[index] = new FingerprintSample
        {
            Offset = request.Offset,
            Length = length,
            Acknowledged = acknowledged,
            Digest = Digest(request.Buffer.Span[..length]),
        };
    }
}
