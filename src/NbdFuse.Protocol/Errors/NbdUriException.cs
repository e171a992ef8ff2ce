namespace NbdFuse.Protocol;

/// <summary>An NBD URI that cannot be used; the message says what to write instead.</summary>
public sealed class NbdUriException : NbdException
{
    /// <summary>Creates the error.</summary>
    /// <param name="message">Cause and remedy: one line for the user.</param>
    public NbdUriException(string message)
        : base(message)
    {
    }
}
