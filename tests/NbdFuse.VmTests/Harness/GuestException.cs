namespace NbdFuse.VmTests.Harness;

/// <summary>A guest died, or did not answer in time.</summary>
/// <param name="message">What happened, with the end of the console.</param>
public class GuestException(string message) : Exception(message);
