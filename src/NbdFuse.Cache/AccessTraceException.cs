namespace NbdFuse.Cache;

/// <summary>A file is no access trace, or a damaged one, or one that this version does not know.</summary>
/// <param name="message">What is wrong with it.</param>
public sealed class AccessTraceException(string message) : IOException(message);
