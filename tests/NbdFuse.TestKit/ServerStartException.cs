namespace NbdFuse.TestKit;

/// <summary>A server ended instead of listening.</summary>
public sealed class ServerStartException(string message) : Exception(message);
