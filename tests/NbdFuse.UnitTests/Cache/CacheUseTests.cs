using NbdFuse.Cache;
using Xunit;

namespace NbdFuse.UnitTests.Cache;

/// <summary>When the cache leaves reads alone, and when it begins again to look at them.</summary>
public sealed class CacheUseTests
{
    [Fact]
    public void Every_miss_counts_until_a_round_has_shown_that_nothing_is_read_again()
    {
        var use = new CacheUse();
        for (int i = 0; i < CacheUse.RoundReads - 1; i++)
        {
            Assert.False(use.Miss());
        }

        use.Miss();
        int left = Enumerable.Range(0, 800).Count(_ => use.Miss());
        Assert.Equal(800 - (800 / CacheUse.SampledMisses), left);
    }

    [Fact]
    public void Few_hits_bring_it_back_within_the_round()
    {
        var use = new CacheUse();
        for (int i = 0; i < CacheUse.RoundReads; i++)
        {
            use.Miss();
        }

        Assert.True(use.Miss());
        for (int i = 0; i < CacheUse.EnoughHits; i++)
        {
            use.Hit();
        }

        Assert.All(Enumerable.Range(0, 100), _ => Assert.False(use.Miss()));
    }

    [Fact]
    public void One_hit_in_sixty_four_is_enough()
    {
        var use = new CacheUse();
        for (int i = 0; i < CacheUse.RoundReads * 4; i++)
        {
            if (i % 64 == 0)
            {
                use.Hit();
            }
            else
            {
                Assert.False(use.Miss());
            }
        }
    }
}
