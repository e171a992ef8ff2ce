namespace NbdFuse.Boot;

/// <summary>Something that a boot needs is not there. The message is one line with cause and remedy.</summary>
/// <param name="message">The message.</param>
/// <param name="innerException">What caused it, if anything.</param>
public sealed class BootException(string message, Exception? innerException = null) : IOException(message, innerException);
