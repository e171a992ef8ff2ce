namespace NbdFuse.VmTests.Harness;

/// <summary>An answer of a guest.</summary>
/// <param name="ExitCode">Exit code of the command; 0 while it runs.</param>
/// <param name="Output">Its stdout.</param>
/// <param name="Error">Its stderr.</param>
internal sealed record GuestReply(int ExitCode, string Output, string Error);
