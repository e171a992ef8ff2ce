namespace NbdFuse.Protocol;

/// <summary>
/// The server broke a rule of the specification: the connection is of no use any more, since nothing that follows
/// in its stream can be trusted.
/// </summary>
public sealed class NbdProtocolException : NbdException
{
    /// <summary>Creates the error.</summary>
    /// <param name="rule">The rule that was broken, in the words of the specification.</param>
    /// <param name="message">What the server did.</param>
    public NbdProtocolException(string rule, string message)
        : base($"the server broke the NBD protocol: {message} (rule: {rule})") => Rule = rule;

    /// <summary>The rule that was broken.</summary>
    public string Rule { get; }
}
