using NbdFuse.Native;

namespace NbdFuse.UnitTests.Native;

internal sealed class TestTimer(Action<long> action) : ITimerTarget
{
    public void OnTimer(long nowMs) => action(nowMs);
}
