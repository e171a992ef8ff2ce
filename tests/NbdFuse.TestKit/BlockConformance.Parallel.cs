using Xunit;

namespace NbdFuse.TestKit;

/// <content>The cases with several operations in flight, and the model test.</content>
public static partial class BlockConformance
{
    private static async Task FlushWithWritesInFlight(IConformanceTarget target)
    {
        const int Block = 64 * 1024;
        var operations = new List<Task<int>>();
        for (int index = 0; index < 32; index++)
        {
            operations.Add(target.WriteAsync(index * Block, PatternData.Create(20, index * Block, Block)));
            if (index % 4 == 3)
            {
                operations.Add(target.FlushAsync());
            }
        }

        foreach (Task<int> operation in operations)
        {
            await Succeeds(operation, "a write or flush").ConfigureAwait(false);
        }

        await Succeeds(target.FlushAsync(), "the last flush").ConfigureAwait(false);
        await Verify(target, 0, PatternData.Create(20, 0, 32 * Block)).ConfigureAwait(false);
    }

    private static async Task ParallelDisjointWrites(IConformanceTarget target)
    {
        int block = Math.Max(4096, target.MinimumBlock);
        int count = (int)Math.Min(256, (2 << 20) / block);
        await Task.WhenAll(Enumerable.Range(0, count).Reverse().Select(
            index => Write(target, (long)index * block, PatternData.Create(21, (long)index * block, block)))).ConfigureAwait(false);
        await Verify(target, 0, PatternData.Create(21, 0, count * block)).ConfigureAwait(false);
    }

    // A stack that reads, modifies and writes a larger block must not lose the neighbour's write.
    private static async Task ParallelWritesIntoOneBlock(IConformanceTarget target)
    {
        int piece = target.MinimumBlock == 1 ? 100 : target.MinimumBlock;
        int count = Math.Max(16, 65536 / piece);
        count = Math.Min(count, 256);
        await Write(target, 0, new byte[piece * count]).ConfigureAwait(false);
        await Task.WhenAll(Enumerable.Range(0, count).Select(
            index => Write(target, (long)index * piece, PatternData.Create(22, (long)index * piece, piece)))).ConfigureAwait(false);
        await Verify(target, 0, PatternData.Create(22, 0, piece * count)).ConfigureAwait(false);
    }

    private static async Task ParallelWritesOfOneRange(IConformanceTarget target)
    {
        const int Length = 64 * 1024;
        const int Writers = 16;
        for (int round = 0; round < 4; round++)
        {
            await Task.WhenAll(Enumerable.Range(0, Writers).Select(
                writer => Write(target, Length, PatternData.Create((ulong)(30 + writer), Length, Length)))).ConfigureAwait(false);
            byte[] actual = await target.ReadAsync(Length, Length).ConfigureAwait(false);
            bool isOne = Enumerable.Range(0, Writers).Any(
                writer => PatternData.Difference(PatternData.Create((ulong)(30 + writer), Length, Length), actual) is null);
            Assert.True(isOne, "The range holds a mixture of several writes.");
        }
    }

    private static async Task OverlappingWritesKeepOrder(IConformanceTarget target)
    {
        int step = Math.Max(4096, target.MinimumBlock);
        byte[] model = new byte[step * 24];
        await Write(target, 0, model).ConfigureAwait(false);
        var writes = new List<Task>();
        for (int index = 0; index < 64; index++)
        {
            int offset = index * 7 % 20 * step;
            byte[] data = PatternData.Create((ulong)(50 + index), offset, 4 * step);
            data.CopyTo(model, offset);
            writes.Add(Write(target, offset, data));
            if (!target.StartsInOrder)
            {
                // Such a target owes the order only to those who wait.
                await writes[^1].ConfigureAwait(false);
            }
        }

        await Task.WhenAll(writes).ConfigureAwait(false);
        await Verify(target, 0, model).ConfigureAwait(false);
    }

    private static async Task ReadsBesideWrites(IConformanceTarget target)
    {
        const int Length = 256 * 1024;
        byte[] stable = PatternData.Create(23, 0, Length);
        await Write(target, 0, stable).ConfigureAwait(false);
        int block = Math.Max(4096, target.MinimumBlock);
        var operations = new List<Task>();
        for (int index = 0; index < 64; index++)
        {
            long offset = (long)index % (Length / block) * block;
            operations.Add(Verify(target, offset, stable[(int)offset..((int)offset + block)]));
            operations.Add(Write(target, Length + offset, PatternData.Create((ulong)index, offset, block)));
        }

        await Task.WhenAll(operations).ConfigureAwait(false);
    }

    private static async Task ReadsAgree(IConformanceTarget target)
    {
        const int Length = 256 * 1024;
        byte[] whole = await target.ReadAsync(0, Length).ConfigureAwait(false);
        Assert.Equal(Length, whole.Length);
        await Task.WhenAll(OddRanges(target).Select(
            range => Verify(target, range.Offset, whole[(int)range.Offset..((int)range.Offset + range.Length)])))
            .ConfigureAwait(false);
    }

    private static async Task RandomModel(IConformanceTarget target)
    {
        int seed = Random.Shared.Next();
        try
        {
            await RandomModel(target, seed, operations: 400).ConfigureAwait(false);
        }
        catch (Exception error)
        {
            throw new InvalidOperationException($"The random model test failed with seed {seed}: {error.Message}", error);
        }
    }

    /// <summary>Compares random operations with an array.</summary>
    /// <param name="target">The target.</param>
    /// <param name="seed">Seed: equal seeds give equal operations.</param>
    /// <param name="operations">How many operations.</param>
    public static async Task RandomModel(IConformanceTarget target, int seed, int operations)
    {
        const int Window = 1 << 20;
        var random = new Random(seed);
        long start = AlignDown(target, random.NextInt64(target.Size - Window - 65536));
        byte[] model = new byte[Window];
        await Write(target, start, model).ConfigureAwait(false);
        for (int index = 0; index < operations; index++)
        {
            int offset = (int)AlignDown(target, random.Next(Window - 65536));
            int length = (int)Math.Max(target.MinimumBlock, AlignDown(target, random.Next(1, random.Next(2) == 0 ? 2048 : 65536)));
            string what = $"operation {index}, {length} bytes at {start + offset}";
            switch (random.Next(8))
            {
                case 0 or 1 or 2:
                    byte[] data = PatternData.Create((ulong)random.NextInt64(), start + offset, length);
                    await Write(target, start + offset, data, fua: random.Next(8) == 0).ConfigureAwait(false);
                    data.CopyTo(model, offset);
                    break;

                case 3 when target.CanZero:
                    await Succeeds(target.ZeroAsync(start + offset, length, random.Next(2) == 0), what).ConfigureAwait(false);
                    Array.Clear(model, offset, length);
                    break;

                case 4 when target.CanTrim:
                    // Undefined afterwards, so it is written at once.
                    await Succeeds(target.TrimAsync(start + offset, length), what).ConfigureAwait(false);
                    byte[] again = PatternData.Create((ulong)index, start + offset, length);
                    await Write(target, start + offset, again).ConfigureAwait(false);
                    again.CopyTo(model, offset);
                    break;

                case 5:
                    await Succeeds(target.FlushAsync(), what).ConfigureAwait(false);
                    break;

                default:
                    await Verify(target, start + offset, model[offset..(offset + length)], what).ConfigureAwait(false);
                    break;
            }
        }

        await Verify(target, start, model, "at the end").ConfigureAwait(false);
    }
}
