using Xunit;

namespace NbdFuse.TestKit;

/// <content>The cases, one operation at a time.</content>
public static partial class BlockConformance
{
    private static async Task ReadAfterWrite(IConformanceTarget target)
    {
        foreach (long offset in new[] { 0, 1 << 20, AlignDown(target, target.Size - 65536) })
        {
            byte[] data = PatternData.Create(1, offset, 65536);
            await Write(target, offset, data).ConfigureAwait(false);
            await Verify(target, offset, data).ConfigureAwait(false);
        }

        await Verify(target, 0, PatternData.Create(1, 0, 65536), "after the other writes").ConfigureAwait(false);
    }

    private static async Task WriteWithFua(IConformanceTarget target)
    {
        byte[] data = PatternData.Create(2, 8192, 4096);
        await Write(target, 8192, data, fua: true).ConfigureAwait(false);
        await Verify(target, 8192, data).ConfigureAwait(false);
    }

    private static async Task UnalignedReads(IConformanceTarget target)
    {
        byte[] data = PatternData.Create(4, 0, 256 * 1024);
        await Write(target, 0, data).ConfigureAwait(false);
        foreach ((long offset, int length) in OddRanges(target))
        {
            await Verify(target, offset, data[(int)offset..((int)offset + length)], $"{length} bytes at {offset}")
                .ConfigureAwait(false);
        }
    }

    private static async Task UnalignedWrites(IConformanceTarget target)
    {
        byte[] model = PatternData.Create(5, 0, 256 * 1024);
        await Write(target, 0, model).ConfigureAwait(false);
        ulong seed = 100;
        foreach ((long offset, int length) in OddRanges(target))
        {
            byte[] data = PatternData.Create(seed++, offset, length);
            data.CopyTo(model, offset);
            await Write(target, offset, data).ConfigureAwait(false);
        }

        await Verify(target, 0, model).ConfigureAwait(false);
    }

    private static async Task UnalignedTail(IConformanceTarget target)
    {
        int tail = target.MinimumBlock == 1 ? 777 : target.MinimumBlock;
        long offset = target.Size - tail;
        if (offset % target.MinimumBlock != 0)
        {
            // The last block is shorter than the others.
            tail = (int)(target.Size % target.MinimumBlock);
            offset = target.Size - tail;
        }

        long around = AlignDown(target, target.Size - 128 * 1024);
        byte[] model = PatternData.Create(6, around, (int)(target.Size - around));
        await Write(target, around, model).ConfigureAwait(false);
        byte[] data = PatternData.Create(7, offset, tail);
        data.CopyTo(model, offset - around);
        await Write(target, offset, data).ConfigureAwait(false);
        await Verify(target, around, model).ConfigureAwait(false);
        await Verify(target, offset, data).ConfigureAwait(false);
    }

    private static async Task WritePastTheEnd(IConformanceTarget target)
    {
        long last = AlignDown(target, target.Size - 1);
        byte[] data = PatternData.Create(8, last, (int)(target.Size - last));
        await Write(target, last, data).ConfigureAwait(false);
        int errno = await target.WriteAsync(target.Size, new byte[Math.Max(512, target.MinimumBlock)]).ConfigureAwait(false);
        Assert.True(errno != 0, "a write past the end succeeded");
        await Verify(target, last, data, "the last block after a write past the end").ConfigureAwait(false);
    }

    private static async Task ReadPastTheEnd(IConformanceTarget target)
    {
        int block = Math.Max(512, target.MinimumBlock);
        long offset = AlignDown(target, target.Size - block);
        int length = (2 * block) + (int)(target.Size - block - offset);
        if (target.ShortReadAtEnd)
        {
            byte[] crossing = await target.ReadAsync(offset, length).ConfigureAwait(false);
            Assert.Equal(target.Size - offset, crossing.Length);
            Assert.Empty(await target.ReadAsync(target.Size, block).ConfigureAwait(false));
            return;
        }

        await Assert.ThrowsAsync<ConformanceErrorException>(() => target.ReadAsync(offset, length)).ConfigureAwait(false);
        await Assert.ThrowsAsync<ConformanceErrorException>(() => target.ReadAsync(target.Size, block)).ConfigureAwait(false);
    }

    private static async Task ZeroesReadBack(IConformanceTarget target)
    {
        foreach (bool noHole in new[] { false, true })
        {
            byte[] model = PatternData.Create(9, 0, 1 << 20);
            await Write(target, 0, model).ConfigureAwait(false);
            int errno = await target.ZeroAsync(128 * 1024, 512 * 1024, noHole).ConfigureAwait(false);
            if (target.CanZero)
            {
                Assert.True(errno == 0, $"zeroes (noHole: {noHole}) failed with errno {errno}");
                Array.Clear(model, 128 * 1024, 512 * 1024);
            }
            else
            {
                Assert.True(errno != 0, "zeroes succeeded on a target that can't make them");
            }

            await Verify(target, 0, model, $"noHole: {noHole}").ConfigureAwait(false);
        }
    }

    private static async Task ZeroesAtOddOffsets(IConformanceTarget target)
    {
        if (!target.CanZero)
        {
            await RefusesZeroes(target).ConfigureAwait(false);
            return;
        }

        byte[] model = PatternData.Create(10, 0, 256 * 1024);
        foreach ((long offset, int length) in OddRanges(target).Where((_, index) => index % 3 == 0))
        {
            model = PatternData.Create(10, 0, 256 * 1024);
            await Write(target, 0, model).ConfigureAwait(false);
            await Succeeds(target.ZeroAsync(offset, length, noHole: false), $"{length} zeroes at {offset}").ConfigureAwait(false);
            Array.Clear(model, (int)offset, length);
            await Verify(target, 0, model, $"{length} zeroes at {offset}").ConfigureAwait(false);
        }
    }

    private static async Task WriteAfterZeroes(IConformanceTarget target)
    {
        if (!target.CanZero)
        {
            await RefusesZeroes(target).ConfigureAwait(false);
            return;
        }

        byte[] model = PatternData.Create(11, 0, 512 * 1024);
        await Write(target, 0, model).ConfigureAwait(false);
        await Succeeds(target.ZeroAsync(0, model.Length, noHole: false), "zeroes").ConfigureAwait(false);
        Array.Clear(model);
        byte[] data = PatternData.Create(12, 65536, 8192);
        await Write(target, 65536, data).ConfigureAwait(false);
        data.CopyTo(model, 65536);
        await Verify(target, 0, model).ConfigureAwait(false);
    }

    private static async Task RefusesZeroes(IConformanceTarget target)
    {
        int block = Math.Max(4096, target.MinimumBlock);
        byte[] data = PatternData.Create(17, 0, block);
        await Write(target, 0, data).ConfigureAwait(false);
        Assert.NotEqual(0, await target.ZeroAsync(0, block, noHole: false).ConfigureAwait(false));
        await Verify(target, 0, data, "after refused zeroes").ConfigureAwait(false);
    }

    private static async Task TrimLeavesTheRest(IConformanceTarget target)
    {
        byte[] model = PatternData.Create(13, 0, 1 << 20);
        await Write(target, 0, model).ConfigureAwait(false);
        int errno = await target.TrimAsync(256 * 1024, 512 * 1024).ConfigureAwait(false);
        Assert.True(errno == 0 || !target.CanTrim, $"trim failed with errno {errno}");

        // What is inside the range is undefined, but must be readable.
        await target.ReadAsync(256 * 1024, 512 * 1024).ConfigureAwait(false);
        await Verify(target, 0, model[..(256 * 1024)], "before the range").ConfigureAwait(false);
        await Verify(target, 768 * 1024, model[(768 * 1024)..], "after the range").ConfigureAwait(false);
    }

    private static async Task LargeTransfer(IConformanceTarget target)
    {
        int length = (int)Math.Min(target.LargeTransfer, AlignDown(target, target.Size - 4096));
        long offset = Math.Min(4096, AlignDown(target, target.Size - length));
        offset = AlignDown(target, offset);
        byte[] data = PatternData.Create(14, offset, length);
        await Write(target, offset, data).ConfigureAwait(false);
        await Verify(target, offset, data).ConfigureAwait(false);
    }

    private static async Task ZeroLength(IConformanceTarget target)
    {
        byte[] data = PatternData.Create(15, 0, 4096);
        data = data.Length % target.MinimumBlock == 0 ? data : PatternData.Create(15, 0, target.MinimumBlock);
        await Write(target, 0, data).ConfigureAwait(false);
        await Succeeds(target.WriteAsync(0, []), "a write of nothing").ConfigureAwait(false);
        Assert.Empty(await target.ReadAsync(0, 0).ConfigureAwait(false));
        await Verify(target, 0, data).ConfigureAwait(false);
    }

    private static async Task ReadOnlyRefusesWrites(IConformanceTarget target)
    {
        int block = Math.Max(4096, target.MinimumBlock);
        byte[] before = await target.ReadAsync(0, block).ConfigureAwait(false);
        Assert.NotEqual(0, await target.WriteAsync(0, PatternData.Create(16, 0, block)).ConfigureAwait(false));
        Assert.NotEqual(0, await target.ZeroAsync(0, block, noHole: false).ConfigureAwait(false));
        await Verify(target, 0, before, "after refused writes").ConfigureAwait(false);
    }
}
