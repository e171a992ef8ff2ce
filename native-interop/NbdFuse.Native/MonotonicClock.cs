using System.Diagnostics;

namespace NbdFuse.Native;

/// <summary>CLOCK_MONOTONIC, whose unit on Linux is the nanosecond of <see cref="Stopwatch"/>.</summary>
public static class MonotonicClock
{
    private static readonly long TicksPerMillisecond = Stopwatch.Frequency / 1000;

    /// <summary>Ticks per microsecond of <see cref="Stopwatch.GetTimestamp"/>.</summary>
    internal static readonly long TicksPerMicrosecond = Stopwatch.Frequency / 1_000_000;

    /// <summary>Milliseconds since an arbitrary start; the scale of <see cref="EventLoop.NowMs"/>.</summary>
    public static long Milliseconds => ToMilliseconds(Stopwatch.GetTimestamp());

    internal static long ToMilliseconds(long timestamp) => timestamp / TicksPerMillisecond;
}
