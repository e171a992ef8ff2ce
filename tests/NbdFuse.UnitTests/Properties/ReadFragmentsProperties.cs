using FsCheck;
using FsCheck.Fluent;
using NbdFuse.Client.Transmission;
using Xunit;

namespace NbdFuse.UnitTests.Properties;

/// <summary>Pieces of a READ against the plainest model there is: a flag per byte.</summary>
public sealed class ReadFragmentsProperties
{
    private const int Length = 64;

    [Fact]
    public void Pieces_are_taken_exactly_when_they_overlap_nothing()
    {
        Prop.ForAll<(byte Start, byte Length)[]>(pieces =>
        {
            ReadFragments fragments = new();
            bool[] covered = new bool[Length];
            foreach ((byte start, byte length) in pieces)
            {
                int from = start % Length;
                int to = Math.Min(from + 1 + (length % 8), Length);
                bool isFree = !covered.AsSpan(from..to).Contains(true);
                if (fragments.TryAdd(from, to, Length) != isFree)
                {
                    return false;
                }

                if (isFree)
                {
                    covered.AsSpan(from..to).Fill(true);
                }
            }

            return fragments.Covers(0, Length) == !covered.Contains(false);
        }).QuickCheckThrowOnFailure();
    }

    [Fact]
    public void Any_order_of_any_partition_covers_the_whole()
    {
        Prop.ForAll<byte[], int>((cuts, seed) =>
        {
            int[] edges = [.. cuts.Select(cut => cut % Length).Append(0).Append(Length).Distinct().Order()];
            (int Start, int End)[] parts = [.. edges.Zip(edges.Skip(1))];
            new Random(seed).Shuffle(parts);
            ReadFragments fragments = new();
            return parts.All(part => fragments.TryAdd(part.Start, part.End, Length)) && fragments.Covers(0, Length);
        }).QuickCheckThrowOnFailure();
    }
}
