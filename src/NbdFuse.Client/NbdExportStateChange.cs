namespace NbdFuse.Client;

/// <summary>A change of an export's state, with what it meant at that moment.</summary>
/// <param name="From">The old state.</param>
/// <param name="To">The new state.</param>
/// <param name="Cause">Why, in one line without control characters.</param>
/// <param name="Duration">How long the old state had lasted.</param>
/// <param name="Generation">Number of the server's generation, from 1.</param>
/// <param name="Waiting">Requests that wait for the server, or were sent again to it.</param>
/// <param name="LoggedBytes">Bytes in the write log: acknowledged, and not known to be durable.</param>
/// <param name="ReplayedWrites">Writes of the log that were sent again to come here.</param>
/// <param name="Attempts">Connections that were tried to come here.</param>
public sealed record NbdExportStateChange(
    NbdExportState From,
    NbdExportState To,
    string Cause,
    TimeSpan Duration,
    int Generation,
    int Waiting,
    long LoggedBytes,
    long ReplayedWrites,
    int Attempts);
