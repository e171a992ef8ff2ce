namespace NbdFuse.TestKit;

/// <summary>The client did something that the script did not expect.</summary>
public sealed class ScriptException(string message) : Exception(message);
