using Xunit;

namespace NbdFuse.TestKit;

/// <summary>
/// The behaviour that every stack owes its users, as a list of name and function: memory device, each layer, all layers,
/// client over each real server, mounted file, loop device.
/// </summary>
public static partial class BlockConformance
{
    /// <summary>Smallest size of a target, in bytes.</summary>
    public const long MinimumSize = 4 << 20;

    private static readonly Dictionary<string, Func<IConformanceTarget, Task>> Writing = new()
    {
        ["read_after_write"] = ReadAfterWrite,
        ["write_with_fua"] = WriteWithFua,
        ["flush_with_writes_in_flight"] = FlushWithWritesInFlight,
        ["unaligned_reads"] = UnalignedReads,
        ["unaligned_writes_keep_their_neighbours"] = UnalignedWrites,
        ["parallel_writes_into_one_block"] = ParallelWritesIntoOneBlock,
        ["unaligned_tail"] = UnalignedTail,
        ["write_past_the_end_fails"] = WritePastTheEnd,
        ["zeroes_read_back_as_zeroes"] = ZeroesReadBack,
        ["zeroes_at_odd_offsets"] = ZeroesAtOddOffsets,
        ["write_after_zeroes"] = WriteAfterZeroes,
        ["trim_leaves_the_rest_alone"] = TrimLeavesTheRest,
        ["parallel_disjoint_writes"] = ParallelDisjointWrites,
        ["parallel_writes_of_one_range"] = ParallelWritesOfOneRange,
        ["overlapping_writes_keep_their_order"] = OverlappingWritesKeepOrder,
        ["reads_beside_writes"] = ReadsBesideWrites,
        ["large_transfer"] = LargeTransfer,
        ["zero_length"] = ZeroLength,
        ["random_model"] = RandomModel,
        ["read_past_the_end"] = ReadPastTheEnd,
        ["reads_agree_with_each_other"] = ReadsAgree,
    };

    private static readonly Dictionary<string, Func<IConformanceTarget, Task>> ReadOnly = new()
    {
        ["read_past_the_end"] = ReadPastTheEnd,
        ["reads_agree_with_each_other"] = ReadsAgree,
        ["read_only_refuses_writes"] = ReadOnlyRefusesWrites,
    };

    /// <summary>Every case. Those for writable and for read-only targets overlap.</summary>
    public static IReadOnlyDictionary<string, Func<IConformanceTarget, Task>> All { get; } =
        Writing.UnionBy(ReadOnly, static entry => entry.Key).ToDictionary(StringComparer.Ordinal);

    /// <summary>Names of the cases for a target that can be written.</summary>
    public static IReadOnlyCollection<string> WritingCases => Writing.Keys;

    /// <summary>Names of the cases for a read-only target.</summary>
    public static IReadOnlyCollection<string> ReadOnlyCases => ReadOnly.Keys;

    /// <summary>The cases for a target that can be written, for a theory.</summary>
    public static TheoryData<string> Names => [.. Writing.Keys];

    /// <summary>The cases for a read-only target, for a theory.</summary>
    public static TheoryData<string> ReadOnlyNames => [.. ReadOnly.Keys];

    /// <summary>
    /// Runs one case. What a target does not promise (<see cref="IConformanceTarget.CanZero"/>) is turned into what it must do
    /// instead, so that no case is ever skipped.
    /// </summary>
    /// <param name="name">Name of the case, from the list that fits the target.</param>
    /// <param name="target">The target; its content does not matter and is not kept.</param>
    public static async Task RunAsync(string name, IConformanceTarget target)
    {
        Assert.True(target.Size >= MinimumSize, $"A target needs {MinimumSize} bytes, this one has {target.Size}.");
        if (!(target.IsReadOnly ? ReadOnly : Writing).TryGetValue(name, out Func<IConformanceTarget, Task>? run))
        {
            throw new ArgumentException($"Case '{name}' is not for a target with IsReadOnly = {target.IsReadOnly}.", nameof(name));
        }

        await Deadline.Within(run(target), $"conformance case '{name}'").ConfigureAwait(false);
    }

    private static async Task Write(IConformanceTarget target, long offset, byte[] data, bool fua = false)
    {
        int errno = await target.WriteAsync(offset, data, fua).ConfigureAwait(false);
        Assert.True(errno == 0, $"write of {data.Length} bytes at {offset} failed with errno {errno}");
    }

    private static async Task Verify(IConformanceTarget target, long offset, byte[] expected, string context = "")
    {
        byte[] actual = await target.ReadAsync(offset, expected.Length).ConfigureAwait(false);
        PatternData.AssertEqual(expected, actual, offset, context);
    }

    private static async Task Succeeds(Task<int> operation, string what)
    {
        int errno = await operation.ConfigureAwait(false);
        Assert.True(errno == 0, $"{what} failed with errno {errno}");
    }

    // Offsets and lengths on and around the borders of sectors, pages and larger blocks.
    private static IEnumerable<(long Offset, int Length)> OddRanges(IConformanceTarget target)
    {
        int[] offsets = [0, 1, 511, 512, 513, 4095, 4096, 4097, 65535, 65536, 65537];
        int[] lengths = [1, 2, 511, 512, 513, 4095, 4096, 4097, 10_000, 65537];
        foreach (int offset in offsets)
        {
            foreach (int length in lengths)
            {
                if (offset % target.MinimumBlock == 0 && length % target.MinimumBlock == 0)
                {
                    yield return (offset, length);
                }
            }
        }
    }

    private static long AlignDown(IConformanceTarget target, long value) => value / target.MinimumBlock * target.MinimumBlock;
}
