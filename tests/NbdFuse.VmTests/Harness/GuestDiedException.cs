namespace NbdFuse.VmTests.Harness;

/// <summary>The guest ended: a panic, a reset, or QEMU's death.</summary>
/// <param name="message">What happened, with the end of the console.</param>
public sealed class GuestDiedException(string message) : GuestException(message);
