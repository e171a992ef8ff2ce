namespace NbdFuse.VmTests.Harness;

/// <summary>A command, or the boot, did not end in time. The console holds the stacks of blocked tasks, if the guest could still tell.</summary>
/// <param name="message">What did not end, what it had said by then, and the end of the console.</param>
public sealed class GuestTimeoutException(string message) : GuestException(message);
