namespace NbdFuse.Cli;

/// <summary>What became of taking a device down.</summary>
/// <param name="IsDone">The device is gone, or the kernel frees it when its last user closes it.</param>
/// <param name="Message">Why it is not, or a warning; one line for the user, or null.</param>
/// <param name="IsLost">It is gone, but what was written last may be lost; the message says why.</param>
internal sealed record TakeDownResult(bool IsDone, string? Message = null, bool IsLost = false);
