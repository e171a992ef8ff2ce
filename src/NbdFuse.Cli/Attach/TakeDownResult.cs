namespace NbdFuse.Cli;

/// <summary>What became of taking a device down.</summary>
/// <param name="IsDone">The device is gone, or the kernel frees it when its last user closes it.</param>
/// <param name="Message">Why it is not, or a warning; one line for the user, or null.</param>
internal sealed record TakeDownResult(bool IsDone, string? Message = null);
