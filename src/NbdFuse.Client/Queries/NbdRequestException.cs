using NbdFuse.Protocol;

namespace NbdFuse.Client;

/// <summary>The server answered a request of the transmission phase with an error; the connection is still of use.</summary>
public sealed class NbdRequestException : NbdException
{
    /// <summary>Creates the error.</summary>
    /// <param name="error">The error, one of the list of the specification.</param>
    /// <param name="message">What was asked, and what the server says to it: one line.</param>
    public NbdRequestException(NbdError error, string message)
        : base(message) => Error = error;

    /// <summary>The error.</summary>
    public NbdError Error { get; }
}
