namespace NbdFuse.Native;

/// <summary>Receives a one-shot timer, on the loop's thread.</summary>
public interface ITimerTarget
{
    /// <summary>The time has come. The timer is no longer scheduled; it may be scheduled again from here.</summary>
    /// <param name="nowMs">The loop's <see cref="EventLoop.NowMs"/>.</param>
    void OnTimer(long nowMs);
}
