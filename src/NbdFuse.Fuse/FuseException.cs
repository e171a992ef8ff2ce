namespace NbdFuse.Fuse;

/// <summary>
/// Mounting or unmounting failed. The message is one line for a person: it names the path and says what to do.
/// </summary>
public sealed class FuseException : IOException
{
    /// <summary>Makes the exception.</summary>
    /// <param name="message">Cause and remedy.</param>
    /// <param name="error">Linux errno behind it, positive; 0 when there was none.</param>
    public FuseException(string message, int error = 0)
        : base(message)
    {
        Errno = error;
    }

    /// <summary>Linux errno behind it, positive; 0 when there was none.</summary>
    public int Errno { get; }
}
