using System.Buffers.Binary;
using NbdFuse.Cache;

namespace NbdFuse.Fuzz.Targets;

/// <summary>The file of an access trace. What is taken lies within the export, nothing twice, and is written again as the same.</summary>
internal sealed class TraceTarget : IFuzzTarget
{
    private const int ChecksumBytes = 4;

    public string Name => "trace";

    public IEnumerable<byte[]> Seeds =>
    [
        AccessTrace.Of(1 << 30, [(0, 1), (100, 256), (50, 4), (3, 9)]).ToBytes(), AccessTrace.Of(long.MaxValue, [((1L << 51) - 10, 5), (0, 1)]).ToBytes(),
        AccessTrace.Of(4097, [(1, 1), (0, 1)]).ToBytes(), AccessTrace.Of(0, []).ToBytes(),
    ];

    public void Run(byte[] input)
    {
        // Else hardly a changed trace would get past its checksum.
        if (input.Length > ChecksumBytes && input[0] == (byte)'N')
        {
            BinaryPrimitives.WriteUInt32LittleEndian(input.AsSpan(^ChecksumBytes..), Checksum(input.AsSpan(..^ChecksumBytes)));
        }

        AccessTrace trace;
        try
        {
            trace = AccessTrace.Parse(input);
        }
        catch (AccessTraceException)
        {
            return;
        }

        var seen = new SortedSet<(long Start, long End)>();
        for (int i = 0; i < trace.Count; i++)
        {
            (long granule, int count) = trace[i];
            if (granule < 0 || count is < 1 or > AccessTrace.MaximumGranules || granule > (trace.Size - 1) / 4096 || granule + count - 1 > (trace.Size - 1) / 4096)
            {
                throw new FuzzFailureException($"range {granule}+{count} of an export of {trace.Size} bytes");
            }

            (long Start, long End) range = (granule, granule + count);
            SortedSet<(long Start, long End)> near = seen.GetViewBetween((granule - AccessTrace.MaximumGranules, 0), (range.End - 1, long.MaxValue));
            if (near.Any(other => other.End > granule))
            {
                throw new FuzzFailureException($"range {granule}+{count} is there twice");
            }

            seen.Add(range);
        }

        if (AccessTrace.Parse(trace.ToBytes()).Count != trace.Count)
        {
            throw new FuzzFailureException("a trace is not read as it was written");
        }
    }

    public void Dispose()
    {
    }

    private static uint Checksum(ReadOnlySpan<byte> data) => NbdFuse.Attach.Partitions.Crc32.Compute(data);
}
