namespace NbdFuse.Cli;

/// <summary>How a device ended without us.</summary>
/// <param name="IsClean">Somebody took it down in the proper way, and everything that was asked of it was answered.</param>
/// <param name="Message">What happened; one line for the user.</param>
internal sealed record DriverEnd(bool IsClean, string Message);
