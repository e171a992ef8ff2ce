namespace NbdFuse.Fuzz;

/// <summary>The code under test broke a promise.</summary>
internal sealed class FuzzFailureException(string message, Exception? inner = null) : Exception(message, inner);
