namespace NbdFuse.Attach;

/// <summary>What a daemon has done so that its device survives the loss of the server.</summary>
/// <param name="Generation">Number of the server's run, from 1: each restart that was noticed adds one.</param>
/// <param name="Reconnects">How often the server was lost and found again.</param>
/// <param name="ReplayedWrites">Acknowledged writes that were sent again, since a server may have forgotten them.</param>
/// <param name="WriteLogBytes">Bytes of acknowledged writes that no flush covers yet.</param>
/// <param name="WriteLogCapacity">Most bytes that the write log holds; 0 without a log.</param>
public sealed record RecoveryStatus(int Generation, int Reconnects, long ReplayedWrites, long WriteLogBytes, long WriteLogCapacity);
