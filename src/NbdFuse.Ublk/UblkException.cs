namespace NbdFuse.Ublk;

/// <summary>
/// A ublk device could not be made, taken over or removed. The message is one line for a person: cause and remedy.
/// </summary>
public sealed class UblkException : IOException
{
    /// <summary>Makes the exception.</summary>
    /// <param name="message">Cause and remedy.</param>
    /// <param name="error">Linux errno behind it, positive; 0 when there was none.</param>
    public UblkException(string message, int error = 0)
        : base(message)
    {
        Errno = error;
    }

    /// <summary>Linux errno behind it, positive; 0 when there was none.</summary>
    public int Errno { get; }
}
