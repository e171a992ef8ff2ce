using NbdFuse.Block;
using NbdFuse.Block.Layers;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.UnitTests.Block;

/// <summary>Reads of zeroes that need no device, and never a wrong one.</summary>
public sealed class ZeroRangeLayerTests
{
    private const int Size = 8 << 20;
    private const int Chunk = 128 << 10;
    private readonly ReadyList _ready = new();
    private readonly HoleDevice _device = new(Size);
    private readonly ZeroRangeLayer _layer;
    private readonly Caller _caller;

    public ZeroRangeLayerTests()
    {
        _layer = new ZeroRangeLayer(_device, _ready);
        _caller = new Caller(_layer, _ready);
    }

    [Fact]
    public void Reader_in_order_gets_zeroes_without_the_device_and_data_from_it()
    {
        PatternData.Fill(_device.Content[(6 << 20)..((6 << 20) + Chunk)], 1, 0);
        byte[] read = ReadAll();
        PatternData.AssertEqual(_device.Content, read);
        Assert.True(_device.Reads < 10, $"{_device.Reads} of {Size / Chunk} reads reached the device");
        Assert.True(_layer.Questions <= 4, $"{_layer.Questions} questions");
        Assert.Equal((Size / Chunk) - _device.Reads, _layer.Answered);
    }

    [Fact]
    public void Random_reads_ask_nothing_and_a_dense_device_is_asked_once()
    {
        var random = new Random(1);
        _device.Content.Fill(7);
        for (int i = 0; i < 200; i++)
        {
            // Never near the last one.
            long half = i % 2 * (Size / 2);
            _caller.Submit(BlockOperation.Read, half + (random.Next(0, 16) * 4096), 4096);
            Settle();
        }

        Assert.True(_layer.Questions <= 1, $"{_layer.Questions} questions");
        ReadAll();
        Assert.True(_layer.Questions <= 2, $"{_layer.Questions} questions");
        Assert.Equal(0, _layer.Answered);
    }

    [Fact]
    public void Small_ranges_are_not_asked_about_more_often_than_it_is_worth()
    {
        for (int offset = 0; offset < Size; offset += 8192)
        {
            _device.Content[offset] = 1;
        }

        ReadAll();
        PatternData.AssertEqual(_device.Content, ReadAll());
        Assert.True(_layer.Questions <= 64 + (2 * Size / (256 << 10)), $"{_layer.Questions} questions");
    }

    [Theory]
    [InlineData(BlockOperation.Write)]
    [InlineData(BlockOperation.WriteZeroes)]
    [InlineData(BlockOperation.Trim)]
    public void Change_ends_what_is_known_of_its_range_as_soon_as_it_begins(BlockOperation operation)
    {
        ReadAll();
        long before = _layer.Answered;
        BlockRequest change = _caller.Submit(operation, 5 << 20, 4096, data: operation == BlockOperation.Write ? new byte[4096] : null);
        BlockRequest read = _caller.Submit(BlockOperation.Read, (5 << 20) + 2048, 4096);
        Assert.Equal(before, _layer.Answered);
        _caller.AssertNotEnded(read);
        Settle();
        _caller.AssertEnded(change);
        _caller.AssertEnded(read);
        _caller.AssertEnded(_caller.Submit(BlockOperation.Read, (5 << 20) + 4096, 4096));
        Assert.Equal(before + 1, _layer.Answered);
    }

    [Fact]
    public void Answer_that_was_made_before_a_change_does_not_outlive_it()
    {
        ReadInOrder(0, 2 * Chunk);
        BlockRequest question = Assert.Single(_device.Waiting, request => request.Operation == BlockOperation.BlockStatus);
        _device.Execute(question);
        BlockRequest write = _caller.Write(4 << 20, PatternData.Create(3, 0, 4096));
        _device.EndAll(write);
        _caller.AssertEnded(write);

        // Only now it arrives.
        _device.Reply(question);
        _ready.Run();
        BlockRequest read = _caller.Submit(BlockOperation.Read, 4 << 20, 4096);
        Settle();
        _caller.AssertEnded(read);
        PatternData.AssertEqual(PatternData.Create(3, 0, 4096), read.Buffer.Span);
        _caller.AssertEnded(_caller.Submit(BlockOperation.Read, 5 << 20, 4096));
    }

    [Fact]
    public void Nothing_is_asked_while_a_change_is_under_way()
    {
        _caller.Write(7 << 20, new byte[4096]);
        ReadInOrder(0, 4 * Chunk);
        Assert.Equal(0, _layer.Questions);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Nothing_survives_that_was_known_before_the_content_could_change_by_itself(bool fails)
    {
        ReadAll();
        long before = _layer.Answered;
        if (fails)
        {
            _layer.Suspend();
        }
        else
        {
            _layer.Forget();
        }

        BlockRequest read = _caller.Submit(BlockOperation.Read, 4 << 20, 4096);
        _caller.AssertNotEnded(read);
        Assert.Equal(before, _layer.Answered);
        Settle();
        long questions = _layer.Questions;
        ReadAll();
        Assert.Equal(fails, questions == _layer.Questions);
    }

    [Fact]
    public void Question_that_was_under_way_when_all_was_forgotten_comes_to_nothing()
    {
        ReadInOrder(0, 2 * Chunk);
        BlockRequest question = Assert.Single(_device.Waiting, request => request.Operation == BlockOperation.BlockStatus);
        _layer.Forget();
        _device.Execute(question);
        _device.Reply(question);
        _ready.Run();
        _caller.AssertNotEnded(_caller.Submit(BlockOperation.Read, 4 << 20, 4096));
    }

    [Fact]
    public void Device_that_does_not_answer_questions_is_left_alone()
    {
        _device.StatusError = BlockErrno.EIO;
        ReadAll();
        Assert.Equal(1, _layer.Questions);
        PatternData.AssertEqual(_device.Content, ReadAll());
    }

    [Fact]
    public void Device_that_takes_short_questions_only_gets_them()
    {
        _device.LongestQuestion = 2 << 20;
        ReadAll();
        Assert.True(_layer.Answered > 30, $"{_layer.Answered} answered");
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Model_with_random_changes_replies_and_losses_never_differs(int seed)
    {
        int size = 16 << 20;
        int chunk = 256 << 10;
        var random = new Random(seed);
        var device = new HoleDevice(size);
        var layer = new ZeroRangeLayer(device, _ready, capacity: 16);
        var caller = new Caller(layer, _ready);

        // What each block holds, and when a change of it was under way last.
        byte[] model = new byte[size / 4096];
        long[] changed = new long[model.Length];
        var reads = new Dictionary<BlockRequest, long>();
        var changes = new List<(BlockRequest Request, byte Value)>();
        long now = 0;
        long cursor = 0;
        for (int i = 0; i < 6_000; i++)
        {
            now++;
            switch (random.Next(16))
            {
                case < 6 when reads.Count < 6:
                    cursor = random.Next(200) == 0 ? random.Next(size / chunk) * (long)chunk : cursor > size - chunk ? 0 : cursor;
                    reads.Add(caller.Submit(BlockOperation.Read, cursor, chunk), now);
                    cursor += chunk;
                    break;
                case 6 when changes.Count < 3 && random.Next(3) == 0:
                    // Most of them in one part, so that there is something left to be known.
                    long block = random.Next(random.Next(10) == 0 ? model.Length : model.Length / 4);
                    if (changes.Exists(other => other.Request.Offset == block * 4096))
                    {
                        // One after the other is the work of the layer below.
                        break;
                    }

                    byte value = random.Next(4) == 0 ? (byte)random.Next(1, 255) : (byte)0;
                    byte[] data = new byte[4096];
                    data.AsSpan().Fill(value);
                    changed[block] = long.MaxValue;
                    changes.Add((value == 0 && random.Next(2) == 0
                        ? caller.Submit(BlockOperation.WriteZeroes, block * 4096, 4096)
                        : caller.Write(block * 4096, data), value));
                    break;
                case < 12 when device.Waiting.Count > 0:
                    device.Execute(device.Waiting[random.Next(device.Waiting.Count)]);
                    break;
                case 12 when random.Next(50) == 0:
                    layer.Forget();
                    break;
                default:
                    if (device.Executed.Count > 0)
                    {
                        device.Reply(device.Executed[random.Next(device.Executed.Count)]);
                    }

                    break;
            }

            layer.EndTurn();
            _ready.Run();
            foreach ((BlockRequest request, byte value) in changes.Where(change => caller.Ended.Contains(change.Request)))
            {
                model[request.Offset / 4096] = value;
                changed[request.Offset / 4096] = now;
            }

            changes.RemoveAll(change => caller.Ended.Contains(change.Request));
            foreach (BlockRequest read in caller.Ended)
            {
                if (!reads.Remove(read, out long started))
                {
                    continue;
                }

                for (long at = read.Offset; at < read.End; at += 4096)
                {
                    // Old and new are both right for who reads while it changes.
                    if (changed[at / 4096] < started)
                    {
                        Assert.True(
                            !read.Buffer.Span.Slice((int)(at - read.Offset), 4096).ContainsAnyExcept(model[at / 4096]), $"seed {seed}, step {i}, offset {at}");
                    }
                }
            }

            caller.Ended.Clear();
        }

        Assert.True(layer.Answered > 20, $"{layer.Answered} reads were answered");
    }

    private byte[] ReadAll() => ReadInOrder(0, Size, settles: true);

    private byte[] ReadInOrder(int offset, int length, bool settles = false)
    {
        byte[] all = new byte[length];
        for (int at = offset; at < offset + length; at += Chunk)
        {
            BlockRequest read = _caller.Submit(BlockOperation.Read, at, Chunk);
            if (settles)
            {
                Settle();
                _caller.AssertEnded(read);
            }
            else
            {
                _device.EndAll(read);
                _ready.Run();
                _layer.EndTurn();
            }

            read.Buffer.CopyTo(all.AsMemory(at - offset));
        }

        return all;
    }

    private void Settle()
    {
        do
        {
            _device.EndAll(null);
            _ready.Run();
            _layer.EndTurn();
        }
        while (_device.Waiting.Count > 0);
    }

    /// <summary>Executes at one time and replies at another; what is zero in blocks of 512 bytes is a hole.</summary>
    private sealed class HoleDevice(int size) : IBlockDevice
    {
        private readonly byte[] _content = new byte[size];

        public BlockDeviceInfo Info { get; } = new() { Size = size, CanTrim = true, CanWriteZeroes = true, CanBlockStatus = true };

        public List<BlockRequest> Waiting { get; } = [];

        public List<BlockRequest> Executed { get; } = [];

        public int Reads { get; private set; }

        public int StatusError { get; set; }

        public long LongestQuestion { get; set; } = long.MaxValue;

        public Span<byte> Content => _content;

        public void Submit(BlockRequest request)
        {
            Reads += request.Operation == BlockOperation.Read ? 1 : 0;
            Waiting.Add(request);
        }

        public void EndTurn()
        {
        }

        public void Execute(BlockRequest request)
        {
            Assert.True(Waiting.Remove(request));
            Executed.Add(request);
            Span<byte> range = _content.AsSpan((int)request.Offset, (int)request.Length);
            switch (request.Operation)
            {
                case BlockOperation.Read:
                    range.CopyTo(request.Buffer.Span);
                    break;
                case BlockOperation.Write:
                    request.Buffer.Span.CopyTo(range);
                    break;
                case BlockOperation.BlockStatus:
                    bool isZero = !range[..512].ContainsAnyExcept((byte)0);
                    int end = 512;
                    while (end < range.Length && isZero == !range.Slice(end, 512).ContainsAnyExcept((byte)0))
                    {
                        end += 512;
                    }

                    request.StatusLength = end;
                    request.Status = isZero ? BlockStatus.Zero | BlockStatus.Hole : BlockStatus.Data;
                    break;
                default:
                    range.Clear();
                    break;
            }
        }

        public void Reply(BlockRequest request)
        {
            Assert.True(Executed.Remove(request));
            request.Complete(request.Operation != BlockOperation.BlockStatus ? 0
                : request.Length > LongestQuestion ? BlockErrno.EINVAL
                : StatusError);
        }

        /// <summary>Ends one, if it is here, or all.</summary>
        public void EndAll(BlockRequest? only)
        {
            foreach (BlockRequest request in Waiting.Where(request => only is null || ReferenceEquals(request, only)).ToArray())
            {
                Execute(request);
                Reply(request);
            }
        }
    }
}
