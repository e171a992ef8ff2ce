using NbdFuse.Block;
using NbdFuse.Client.Transmission;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.UnitTests.Client.Recovery;

public sealed class FingerprintTests
{
    private readonly ReadyList _ready = new();

    [Fact]
    public void Samples_are_bounded_in_number_and_length()
    {
        var fingerprint = new Fingerprint(512);
        for (int i = 0; i < 1000; i++)
        {
            fingerprint.NoteWrite(Write(i * 65536L, 65536), i, i, i * 10_000L);
        }

        Assert.Equal(Fingerprint.Capacity, fingerprint.Count);
        for (int i = 0; i < fingerprint.Count; i++)
        {
            Assert.Equal(4096, fingerprint[i].Length);
        }
    }

    [Fact]
    public void Sample_is_as_long_as_the_minimum_block()
    {
        var fingerprint = new Fingerprint(65536);
        fingerprint.NoteWrite(Write(0, 1 << 20), 1, 0, 0);
        Assert.Equal(65536, fingerprint[0].Length);
    }

    [Fact]
    public void Most_requests_are_not_sampled()
    {
        var fingerprint = new Fingerprint(512);
        for (int i = 0; i < 1000; i++)
        {
            fingerprint.NoteWrite(Write(i * 4096, 4096), i, 0, nowMs: 5);
        }

        Assert.InRange(fingerprint.Count, 2, 10);
    }

    [Theory]
    [InlineData(0, 4096, 0)]
    [InlineData(4095, 4097, 0)]
    [InlineData(4096, 8192, 1)]
    [InlineData(100, 101, 0)]
    public void Change_forgets_what_it_touches(long start, long end, int left)
    {
        var fingerprint = new Fingerprint(512);
        fingerprint.NoteWrite(Write(0, 4096), 1, 0, 0);
        fingerprint.Forget(start, end);
        Assert.Equal(left, fingerprint.Count);
    }

    [Fact]
    public void Read_during_a_change_of_the_same_place_counts_for_nothing()
    {
        var fingerprint = new Fingerprint(512);
        BlockRequest read = Write(0, 4096);
        read.Operation = BlockOperation.Read;
        Assert.True(fingerprint.WantsRead(read, 0));
        Assert.False(fingerprint.WantsRead(Write(8192, 4096), 0));
        fingerprint.Forget(4000, 5000);
        fingerprint.EndRead(read, 3, 0, 0);
        Assert.Equal(0, fingerprint.Count);
        Assert.True(fingerprint.WantsRead(read, 0));
        fingerprint.EndRead(read, 3, 0, 0);
        Assert.Equal(1, fingerprint.Count);
        Assert.Equal(3, fingerprint[0].Acknowledged);
        Assert.Equal(Fingerprint.Digest(read.Buffer.Span), fingerprint[0].Digest);
    }

    [Fact]
    public void What_was_not_durable_is_forgotten_where_nobody_repeats_it()
    {
        var fingerprint = new Fingerprint(512);
        fingerprint.NoteWrite(Write(0, 512), 1, 0, 0);
        fingerprint.NoteWrite(Write(512, 512), 2, 0, 0);
        fingerprint.NoteWrite(Write(1024, 512), 3, 0, 0);
        fingerprint.ForgetNewerThan(1);
        Assert.Equal(1, fingerprint.Count);
        Assert.Equal(0, fingerprint[0].Offset);
    }

    [Fact]
    public void What_can_be_compared_is_not_given_up_for_what_cannot()
    {
        var fingerprint = new Fingerprint(512);
        for (int i = 0; i < Fingerprint.Capacity; i++)
        {
            fingerprint.NoteWrite(Write(i * 4096, 4096), i + 1, durable: 100, i * 10_000L);
        }

        // A writer that never flushes, for hours.
        for (int i = 100; i < 10_000; i++)
        {
            fingerprint.NoteWrite(Write(i * 4096L, 4096), i + 1, durable: 100, i * 10_000L);
        }

        Assert.Equal(Fingerprint.Capacity, fingerprint.Count);
        int comparable = 0;
        for (int i = 0; i < fingerprint.Count; i++)
        {
            comparable += fingerprint[i].Acknowledged <= 100 ? 1 : 0;
        }

        Assert.Equal(Fingerprint.Capacity - 1, comparable);
    }

    [Fact]
    public void Small_working_set_is_not_sampled_without_end()
    {
        var fingerprint = new Fingerprint(512);
        BlockRequest read = Write(0, 4096);
        read.Operation = BlockOperation.Read;
        int samples = 0;
        for (int i = 0; i < 1000 && fingerprint.WantsRead(read, nowMs: 5); i++)
        {
            fingerprint.EndRead(read, 0, 0, nowMs: 5);
            samples++;
        }

        Assert.InRange(samples, 1, 10);
        Assert.Equal(1, fingerprint.Count);
    }

    [Fact]
    public void Digest_sees_every_byte_and_the_length()
    {
        byte[] data = PatternData.Create(1, 0, 517);
        HashSet<ulong> seen = [Fingerprint.Digest(data), Fingerprint.Digest(data.AsSpan(1)), Fingerprint.Digest(data.AsSpan(0, 516))];
        for (int i = 0; i < data.Length; i++)
        {
            data[i] ^= 1;
            seen.Add(Fingerprint.Digest(data));
            data[i] ^= 1;
        }

        Assert.Equal(3 + 517, seen.Count);
        Assert.NotEqual(Fingerprint.Digest(new byte[512]), Fingerprint.Digest(new byte[1024]));
    }

    private BlockRequest Write(long offset, int length) => new(_ready, 0)
    {
        Operation = BlockOperation.Write,
        Offset = offset,
        Length = length,
        Buffer = PatternData.Create(9, offset, length),
    };
}
