using NbdFuse.Block;
using Xunit;

namespace NbdFuse.UnitTests.Block;

public sealed class HoleMapTests
{
    private const int Size = 200;

    [Theory]
    [InlineData(64, 1)]
    [InlineData(64, 2)]
    [InlineData(5, 3)]
    [InlineData(1, 4)]
    public void Holes_are_those_of_a_model_or_fewer_when_there_is_no_room(int capacity, int seed)
    {
        var random = new Random(seed);
        var map = new HoleMap(capacity);
        bool[] model = new bool[Size];
        for (int i = 0; i < 20_000; i++)
        {
            int start = random.Next(Size);
            int end = Math.Min(Size, start + random.Next(capacity > 20 ? 12 : 60));
            bool adds = random.Next(2) == 0;
            if (adds)
            {
                map.Add(start, end);
            }
            else
            {
                map.Remove(start, end);
            }

            model.AsSpan(start, end - start).Fill(adds);
            bool[] seen = Content(map);
            Assert.Equal(seen.Count(hole => hole), map.Total);
            Assert.InRange(map.Count, 0, capacity);
            for (int at = 0; at < Size; at++)
            {
                Assert.True(model[at] || !seen[at], $"byte {at} is no hole");
                if (capacity == 64)
                {
                    Assert.Equal(model[at], seen[at]);
                }
                else
                {
                    // What did not fit is forgotten for good.
                    model[at] = seen[at];
                }
            }
        }
    }

    [Fact]
    public void Ranges_end_at_the_largest_size()
    {
        var map = new HoleMap(4);
        map.Add(0, long.MaxValue);
        map.Remove(1L << 40, (1L << 40) + 1);
        Assert.Equal((long.MaxValue - 1, 2), (map.Total, map.Count));
        map.Remove(0, long.MaxValue);
        Assert.Equal((0, 0), (map.Total, map.Count));
    }

    private static bool[] Content(HoleMap map) => [.. Enumerable.Range(0, Size).Select(at => map.Contains(at))];
}
