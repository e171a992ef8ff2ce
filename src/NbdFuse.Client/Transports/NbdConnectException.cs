using NbdFuse.Protocol;

namespace NbdFuse.Client;

/// <summary>No usable connection to a server: no address answered, or the handshake did not come to its end.</summary>
public sealed class NbdConnectException : NbdException
{
    /// <summary>Creates the error.</summary>
    /// <param name="reason">Why, for programs.</param>
    /// <param name="message">Cause and remedy: one line for the user.</param>
    /// <param name="innerException">What caused it, if anything.</param>
    public NbdConnectException(NbdConnectFailure reason, string message, Exception? innerException = null)
        : base(message, innerException) => Reason = reason;

    /// <summary>Why, for programs.</summary>
    public NbdConnectFailure Reason { get; }
}
