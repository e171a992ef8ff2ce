namespace NbdFuse.Fuse;

/// <summary>How a session ended.</summary>
/// <param name="Reason">Why.</param>
/// <param name="Errno">Linux errno behind it, positive; 0 when there was none.</param>
/// <param name="Message">One line for a person.</param>
public sealed record FuseSessionEnd(FuseEndReason Reason, int Errno, string Message);
