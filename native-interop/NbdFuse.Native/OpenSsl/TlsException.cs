namespace NbdFuse.Native;

/// <summary>TLS cannot be set up: no library, or credentials that it does not take.</summary>
public sealed class TlsException : Exception
{
    /// <summary>Creates the error.</summary>
    /// <param name="message">Cause and remedy, one line.</param>
    /// <param name="innerException">What caused it, if anything.</param>
    public TlsException(string message, Exception? innerException = null)
        : base(message, innerException)
    {
    }
}
