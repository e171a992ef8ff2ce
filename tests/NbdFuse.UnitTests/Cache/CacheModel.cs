using System.Buffers.Binary;
using NbdFuse.Block;
using NbdFuse.Cache;
using Xunit;

namespace NbdFuse.UnitTests.Cache;

/// <summary>
/// Readers and writers with many requests in flight, and for every sector the history of what was written and when: says of
/// each read whether what it got may be seen by one who asked then.
/// </summary>
internal sealed class CacheModel : IBlockCompletion
{
    private const int Sector = 512;
    private const int MostInFlight = 24;
    private readonly Random _random;
    private readonly RacyDevice _device;
    private readonly ReadyList _ready;
    private readonly IBlockDevice _top;
    private readonly BlockCache _cache;
    private readonly bool _isOrdered;
    private readonly long _size;
    private readonly int _faults;
    private readonly List<List<Written>> _history = [];
    private readonly Stack<BlockRequest> _free = new();
    private readonly Dictionary<BlockRequest, (long Submitted, Written? Write)> _inFlight = [];
    private readonly long[] _cursors = new long[3];
    private long _time;
    private int _version;
    private int _tags;

    public CacheModel(Random random, RacyDevice device, ReadyList ready, BlockCache cache, IBlockDevice top, bool isOrdered, int faults)
    {
        _random = random;
        _device = device;
        _ready = ready;
        _cache = cache;
        _top = top;
        _isOrdered = isOrdered;
        _faults = faults;
        _size = device.Info.Size;
        for (long i = 0; i < (_size + Sector - 1) / Sector; i++)
        {
            _history.Add([new Written { Version = 0, Submitted = -1, Ended = 0, IsDone = true }]);
        }
    }

    public int Ended { get; private set; }

    public void Run(int steps)
    {
        for (int step = 0; step < steps; step++)
        {
            _time++;
            if (_inFlight.Count < MostInFlight)
            {
                SubmitSomething();
            }

            if (_random.Next(60) == 0 && _inFlight.Count > 0)
            {
                BlockRequest victim = _inFlight.Keys.ElementAt(_random.Next(_inFlight.Count));
                if (!victim.IsAbandoned)
                {
                    victim.IsAbandoned = true;
                    (_top as IRequestWithdrawal)!.TryWithdraw(victim);
                }
            }

            Turn();
            for (int i = _random.Next(4); i > 0; i--)
            {
                StepDevice();
            }

            Turn();
            if (_random.Next(100) == 0)
            {
                Settle();
            }
        }

        Settle();
    }

    bool IBlockCompletion.OnCompleted(BlockRequest request, long state)
    {
        Assert.True(_inFlight.Remove(request, out (long Submitted, Written? Write) started), "a request ended twice");
        Ended++;
        if (started.Write is { } write)
        {
            write.Ended = _time;
            write.IsDone = request.Error == 0;

            // A trim need not do anything.
            write.IsFailed = request.Error != 0 || request.Operation == BlockOperation.Trim;
        }
        else if (request.Operation == BlockOperation.Read && request.Error == 0)
        {
            Check(request, started.Submitted);
        }

        _free.Push(request);
        return false;
    }

    /// <summary>Ends everything; then the cache must show what the device holds, whatever came before.</summary>
    private void Settle()
    {
        int guard = 0;
        while (_inFlight.Count > 0 || _cache.OwnRequests > 0)
        {
            Turn();
            StepDevice();
            Turn();
            Assert.True(++guard < 1_000_000, "the requests do not end");
        }

        // All have ended: what the device holds is all that may be seen from now on.
        _time++;
        for (int sector = 0; sector < _history.Count; sector++)
        {
            int version = (int)(BinaryPrimitives.ReadInt64LittleEndian(_device.Content[(sector * Sector)..]) >> 32);
            _history[sector].Clear();
            _history[sector].Add(new Written { Version = version, Submitted = _time, Ended = _time, IsDone = true, Order = ++_tags });
        }

        _time++;
        int rounds = 3;
        while (rounds-- > 0)
        {
            long offset = _random.NextInt64(_size - 8) & ~7L;
            int length = (int)Math.Min(_size - offset, _random.Next(1, 32) * 4096L);
            BlockRequest read = Submit(BlockOperation.Read, offset, length, null);
            byte[] expected = _device.Content.Slice((int)offset, length).ToArray();
            while (_inFlight.Count > 0)
            {
                Turn();
                StepDevice(mayFail: false);
            }

            Assert.Equal(0, read.Error);
            Assert.True(expected.AsSpan().SequenceEqual(read.Buffer.Span), $"The cache is stale in {length} bytes at {offset}.");
        }
    }

    private void Turn()
    {
        _ready.Run();
        _top.EndTurn();
        _ready.Run();
    }

    private void StepDevice(bool mayFail = true)
    {
        int executed = _device.Executed.Count;
        int waiting = _device.Waiting.Count;
        if (executed + waiting == 0)
        {
            return;
        }

        int choice = _random.Next(executed + waiting);
        if (choice < executed)
        {
            _device.Reply(choice);
            return;
        }

        bool fails = mayFail && _random.Next(1000) < _faults;
        _device.Execute(choice - executed, fails ? BlockErrno.EIO : 0, !fails || _random.Next(2) == 0);
    }

    private void SubmitSomething()
    {
        int kind = _random.Next(20);
        if (kind < 7)
        {
            // Mostly in a small part of the device, so that things meet.
            long span = _random.Next(3) == 0 ? _size : _size / 8;
            long offset = _random.NextInt64(span - 8) & ~7L;
            long length = _random.Next(4) switch { 0 => _random.Next(1, 200) * 8, 1 => 100_000, _ => 4096 * _random.Next(1, 9) };
            if (_random.Next(2) == 0)
            {
                offset &= ~4095L;
            }

            Submit(BlockOperation.Read, offset, (int)Math.Min(length, _size - offset), null);
        }
        else if (kind < 13)
        {
            ref long cursor = ref _cursors[_random.Next(_cursors.Length)];
            int length = 4096 * (kind < 11 ? 1 : 8);
            if (cursor + length > _size || _random.Next(200) == 0)
            {
                cursor = _random.NextInt64(_size / 8) & ~4095L;
            }

            Submit(BlockOperation.Read, cursor, length, null);
            cursor += length;
        }
        else if (kind < 19)
        {
            long span = _random.Next(3) == 0 ? _size : _size / 8;
            long offset = _random.NextInt64(span) & ~511L;
            long length = _random.Next(5) switch { 0 => 512, 1 => 70_000 & ~511, _ => 4096 * _random.Next(1, 5) };
            if (_random.Next(2) == 0)
            {
                offset &= ~4095L;
            }

            length = Math.Min(length, (_size - offset) & ~511L);
            if (length > 0)
            {
                SubmitWrite(offset, (int)length);
            }
        }
        else
        {
            Submit(BlockOperation.Flush, 0, 0, null);
        }
    }

    private void SubmitWrite(long offset, int length)
    {
        BlockOperation operation = _random.Next(8) switch
        {
            0 => BlockOperation.WriteZeroes,
            1 => BlockOperation.Trim,
            _ => BlockOperation.Write,
        };
        var write = new Written { Version = operation == BlockOperation.Write ? ++_version : 0, Submitted = _time, Order = ++_tags };
        for (long sector = offset / Sector; sector < (offset + length) / Sector; sector++)
        {
            _history[(int)sector].Add(write);
        }

        Submit(operation, offset, length, write);
    }

    private BlockRequest Submit(BlockOperation operation, long offset, int length, Written? write)
    {
        if (!_free.TryPop(out BlockRequest? request))
        {
            request = new BlockRequest(_ready, _inFlight.Count);
        }

        request.Reset();
        request.Operation = operation;
        request.Offset = offset;
        request.Length = length;
        if (operation is BlockOperation.Read or BlockOperation.Write)
        {
            request.Buffer = new byte[length];
        }

        if (operation == BlockOperation.Write)
        {
            Span<byte> data = request.Buffer.Span;
            for (int i = 0; i < length; i += 8)
            {
                BinaryPrimitives.WriteInt64LittleEndian(data[i..], Word(write!.Version, (offset + i) / Sector));
            }
        }

        _inFlight.Add(request, (_time, write));
        request.Push(this);
        _top.Submit(request);
        return request;
    }

    private static long Word(int version, long sector) => ((long)version << 32) | (uint)sector;

    private void Check(BlockRequest request, long submitted)
    {
        ReadOnlySpan<byte> data = request.Buffer.Span;
        long last = -1;
        for (int i = 0; i + 8 <= data.Length; i += 8)
        {
            long sector = (request.Offset + i) / Sector;
            if (sector == last)
            {
                continue;
            }

            last = sector;
            long word = BinaryPrimitives.ReadInt64LittleEndian(data[i..]);
            int version = (int)(word >> 32);
            Assert.True(version == 0 ? word == 0 : word == Word(version, sector), $"foreign data in sector {sector}: {word:x}");
            List<Written> history = _history[(int)sector];
            Assert.True(
                history.Any(write => write.Version == version && MayBeSeen(write, history, submitted)),
                $"sector {sector}: version {version} was overwritten before the read was submitted at {submitted}");
        }
    }

    private bool MayBeSeen(Written write, List<Written> history, long readSubmitted) =>
        !history.Any(later => later.IsDone && later.Ended < readSubmitted && !later.IsFailed
            && (_isOrdered ? later.Order > write.Order : (write.IsDone || write.IsFailed) && write.Ended < later.Submitted)
            && !(write.IsFailed && write.Ended >= readSubmitted));

    private sealed class Written
    {
        public int Version;
        public int Order;
        public long Submitted;
        public long Ended;
        public bool IsDone;
        public bool IsFailed;
    }
}
