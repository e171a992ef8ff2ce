using NbdFuse.Cache;
using NbdFuse.UnitTests.Protocol;
using Xunit;

namespace NbdFuse.UnitTests.Cache;

public class GranuleStoreTests
{
    [Fact]
    public void Everything_is_let_in_while_there_is_room()
    {
        var store = new GranuleStore(8);
        for (int granule = 0; granule < 8; granule++)
        {
            Assert.Equal(granule, store.Admit(granule));
        }

        Assert.All(Enumerable.Range(0, 8), granule => Assert.Equal(granule, store.FindValid(granule)));
        Assert.Equal((8, 0L), (store.Count, store.Evictions));
    }

    [Fact]
    public void Full_store_lets_in_at_the_second_use_only_and_one_leaves()
    {
        var store = new GranuleStore(4);
        for (int granule = 0; granule < 4; granule++)
        {
            store.Admit(granule);
        }

        Assert.Equal(-1, store.Admit(100));
        Assert.Equal((1L, 0L), (store.Rejections, store.Evictions));
        Assert.True(store.Admit(100) >= 0);
        Assert.Equal((4, 1L), (store.Count, store.Evictions));
    }

    [Fact]
    public void Tiny_trace_keeps_the_granule_that_is_used_often_through_a_scan()
    {
        // One slot of window, three of main. A is used again and again; the scan passes.
        var policy = new StorePolicy(4);
        string trace = "AABACADAEAFAGAHA";
        string hits = string.Concat(trace.Select(letter => policy.Access(letter) ? '+' : '-'));
        Assert.Equal("-+-+-+-+-+-+-+-+", hits);
    }

    [Fact]
    public void Tiny_trace_of_a_hot_pair_beats_the_least_recently_used_order()
    {
        // Two hot ones, then a scan of four, over three slots: LRU forgets both, here both stay.
        const string Trace = "ABABABABCDEFABCDEFAB";
        var store = new StorePolicy(3);
        var lru = new LruPolicy(3);
        Assert.Equal("--++++++----+++---++", string.Concat(Trace.Select(letter => store.Access(letter) ? '+' : '-')));
        Assert.Equal("--++++++------------", string.Concat(Trace.Select(letter => lru.Access(letter) ? '+' : '-')));
    }

    [Fact]
    public void Invalid_granule_is_not_found_and_keeps_its_place()
    {
        var store = new GranuleStore(4);
        int slot = store.Admit(7);
        store.Invalidate(slot);
        Assert.Equal(-1, store.FindValid(7));
        Assert.Equal(slot, store.Find(7));
        store.Validate(slot);
        Assert.Equal(slot, store.FindValid(7));
        store.Remove(slot);
        Assert.Equal(-1, store.Find(7));
        Assert.Throws<InvalidOperationException>(() => store.Remove(slot));
    }

    [Fact]
    public void Random_use_agrees_with_a_dictionary() => SeededRounds.Run(20, random =>
    {
        int slots = random.Next(1, 300);
        var store = new GranuleStore(slots);
        Dictionary<int, long> granules = [];
        for (int step = 0; step < 5000; step++)
        {
            long granule = random.NextInt64(slots * 3L) * (random.Next(2) == 0 ? 1 : long.MaxValue / (slots * 4L));
            int slot = store.Find(granule);
            Assert.Equal(slot >= 0, granules.ContainsValue(granule));
            if (slot < 0)
            {
                slot = store.Admit(granule);
                if (slot >= 0)
                {
                    granules[slot] = granule;
                }
            }
            else if (random.Next(5) == 0)
            {
                store.Remove(slot);
                granules.Remove(slot);
            }
            else
            {
                store.Touch(slot);
            }

            // Whoever left must not be found any more.
            foreach (int gone in granules.Keys.Where(key => store.GranuleOf(key) != granules[key]).ToList())
            {
                granules.Remove(gone);
            }

            Assert.Equal(granules.Count, store.Count);
            Assert.True(store.Count <= slots);
        }

        foreach ((int slot, long granule) in granules)
        {
            Assert.Equal(slot, store.FindValid(granule));
        }
    });

    [Fact]
    public void Clear_makes_it_as_new()
    {
        var store = new GranuleStore(4);
        for (int i = 0; i < 20; i++)
        {
            if (store.Find(i % 6) < 0)
            {
                store.Admit(i % 6);
            }
        }

        store.Clear();
        Assert.Equal(0, store.Count);
        Assert.All(Enumerable.Range(0, 6), granule => Assert.Equal(-1, store.Find(granule)));
        Assert.Equal(0, store.Admit(3));
    }

    [Fact]
    public void Sketch_counts_up_to_its_maximum_and_forgets_by_halving()
    {
        var sketch = new FrequencySketch(1000);
        ulong key = GranuleIndex.Hash(42);
        for (int i = 0; i < 20; i++)
        {
            sketch.Increment(key);
        }

        Assert.Equal(FrequencySketch.Maximum, sketch.Estimate(key));
        for (int other = 0; other < 5000; other++)
        {
            sketch.Increment(GranuleIndex.Hash(1000 + other));
        }

        Assert.InRange(sketch.Estimate(key), 7, 10);
        sketch.Clear();
        Assert.Equal(0, sketch.Estimate(key));
    }
}
