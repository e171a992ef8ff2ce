namespace NbdFuse.Server;

/// <summary>The client broke a rule of the protocol that leaves no way to go on: its connection ends.</summary>
internal sealed class ClientViolationException(string message) : Exception(message);
