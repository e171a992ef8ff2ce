using NbdFuse.Block;
using NbdFuse.Client.Transmission;
using NbdFuse.UnitTests.Protocol;
using Xunit;

namespace NbdFuse.UnitTests.Client.Transmission;

public class InFlightTableTests
{
    private readonly InFlightTable _table = new(2);

    [Fact]
    public void Slot_is_found_by_its_cookie_only_once_its_bytes_are_sent()
    {
        Assert.True(_table.TryAdd(NewRequest(), out int index));
        ulong cookie = _table.CookieOf(index);
        Assert.False(_table.TryFind(cookie, long.MaxValue - 1, out _));
        _table[index].SentAt = 100;
        Assert.False(_table.TryFind(cookie, 99, out _));
        Assert.True(_table.TryFind(cookie, 100, out int found));
        Assert.Equal(index, found);
        _table.Remove(index);
        Assert.False(_table.TryFind(cookie, 100, out _));
    }

    [Fact]
    public void Cookie_of_an_older_use_is_not_found()
    {
        Assert.True(_table.TryAdd(NewRequest(), out int index));
        ulong cookie = _table.CookieOf(index);
        _table.Remove(index);
        Assert.True(_table.TryAdd(NewRequest(), out int again));
        Assert.Equal(index, again);
        _table[again].SentAt = 0;
        Assert.NotEqual(cookie, _table.CookieOf(again));
        Assert.False(_table.TryFind(cookie, 0, out _));
    }

    [Fact]
    public void Full_table_takes_nothing()
    {
        Assert.True(_table.TryAdd(NewRequest(), out _));
        Assert.True(_table.TryAdd(NewRequest(), out int second));
        Assert.False(_table.TryAdd(NewRequest(), out _));
        Assert.Equal(2, _table.Count);
        _table.Remove(second);
        Assert.True(_table.TryAdd(NewRequest(), out _));
    }

    [Theory]
    [InlineData(2)]
    [InlineData(0x7fffffff)]
    [InlineData(0x80000000)]
    [InlineData(0xffffffff)]
    public void Cookie_with_an_index_outside_the_table_is_not_found(uint index) => Assert.False(_table.TryFind(index, 0, out _));

    [Fact]
    public void Fragments_agree_with_a_naive_model() => SeededRounds.Run(300, random =>
    {
        var fragments = new ReadFragments();
        bool[] model = new bool[64];
        for (int i = 0; i < 60; i++)
        {
            int start = random.Next(64);
            int end = random.Next(start + 1, Math.Min(64, start + 8) + 1);
            bool free = !model.AsSpan(start..end).Contains(true);
            Assert.Equal(free, fragments.TryAdd(1000 + start, 1000 + end, 64));
            if (free)
            {
                model.AsSpan(start..end).Fill(true);
            }

            Assert.Equal(!model.Contains(false), fragments.Covers(1000, 1064));
        }

        fragments.Clear();
        Assert.False(fragments.IsUsed);
    });

    [Fact]
    public void Fragments_are_bounded()
    {
        var fragments = new ReadFragments();
        int limit = ReadFragments.Limit(4096);
        Assert.Equal(72, limit);
        for (int i = 0; i < limit; i++)
        {
            Assert.True(fragments.TryAdd(2 * i, (2 * i) + 1, limit));
        }

        Assert.False(fragments.TryAdd(10_000, 10_001, limit));
        Assert.True(fragments.TryAdd(1, 2, limit));
    }

    private static BlockRequest NewRequest() => new(new ReadyList(), 0);
}
