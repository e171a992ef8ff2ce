namespace NbdFuse.Client;

/// <summary>What the end of a time limit means.</summary>
public enum NbdTimeoutAction
{
    /// <summary>Whoever waits gets an error.</summary>
    Error,

    /// <summary>It is said in the log, and the waiting goes on.</summary>
    Wait,
}
