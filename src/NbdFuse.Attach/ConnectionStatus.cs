namespace NbdFuse.Attach;

/// <summary>One connection to the server.</summary>
/// <param name="Generation">Run of the server that it belongs to, from 1.</param>
/// <param name="State">usable, or lost.</param>
/// <param name="InFlight">Requests on it at present.</param>
/// <param name="Requests">Requests that were sent.</param>
/// <param name="ReadBytes">Bytes that were read.</param>
/// <param name="WrittenBytes">Bytes that were written.</param>
public sealed record ConnectionStatus(int Generation, string State, int InFlight, long Requests, long ReadBytes, long WrittenBytes);
