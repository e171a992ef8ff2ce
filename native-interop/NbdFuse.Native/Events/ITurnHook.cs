namespace NbdFuse.Native;

/// <summary>Runs at the end of each turn of a loop, after all events: the place for one batched send, or to drain a mailbox.</summary>
public interface ITurnHook
{
    /// <summary>Whether an answer is expected so soon that polling beats sleeping. Asked before each sleep; must be cheap.</summary>
    bool WantsSpin { get; }

    /// <summary>All handlers, posted actions and timers of the turn have run.</summary>
    void OnTurnEnd();
}
