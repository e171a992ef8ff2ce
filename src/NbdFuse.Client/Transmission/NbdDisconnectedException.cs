using NbdFuse.Protocol;

namespace NbdFuse.Client;

/// <summary>The connection to the server is gone, other than by our wish.</summary>
public sealed class NbdDisconnectedException : NbdException
{
    /// <summary>Creates the error.</summary>
    /// <param name="message">What happened, and what to do, in one line.</param>
    public NbdDisconnectedException(string message)
        : base(message)
    {
    }
}
