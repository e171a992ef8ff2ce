namespace NbdFuse.UnitTests.Cache;

/// <summary>A clock that stands still until it is set, in microseconds.</summary>
internal sealed class ManualClock : TimeProvider
{
    public long Microseconds { get; set; } = 1;

    public override long TimestampFrequency => 1_000_000;

    public override long GetTimestamp() => Microseconds;
}
