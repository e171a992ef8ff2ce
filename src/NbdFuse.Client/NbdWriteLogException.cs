using NbdFuse.Protocol;

namespace NbdFuse.Client;

/// <summary>The write log that a dead process has left cannot be trusted: nothing of it is written.</summary>
/// <param name="message">One line: what is wrong with it.</param>
public sealed class NbdWriteLogException(string message) : NbdException(message);
