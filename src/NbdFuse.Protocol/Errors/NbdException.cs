namespace NbdFuse.Protocol;

/// <summary>Base of every error that this program reports about an NBD server, its protocol or its address.</summary>
public class NbdException : Exception
{
    /// <summary>Creates the error.</summary>
    /// <param name="message">Cause and, where there is one, remedy: one line for the user.</param>
    public NbdException(string message)
        : base(message)
    {
    }

    /// <summary>Creates the error with the one that caused it.</summary>
    /// <param name="message">Cause and, where there is one, remedy: one line for the user.</param>
    /// <param name="innerException">What caused it.</param>
    public NbdException(string message, Exception? innerException)
        : base(message, innerException)
    {
    }
}
