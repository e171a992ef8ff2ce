namespace NbdFuse.Ublk;

/// <summary>How serving a device ended.</summary>
/// <param name="Reason">Why.</param>
/// <param name="Errno">Linux errno behind it, positive; 0 when there was none.</param>
/// <param name="Message">One line for a person.</param>
public sealed record UblkEnd(UblkEndReason Reason, int Errno, string Message);
