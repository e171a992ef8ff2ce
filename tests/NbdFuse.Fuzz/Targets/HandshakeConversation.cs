namespace NbdFuse.Fuzz.Targets;

/// <summary>What the client wants of the server that it shakes hands with.</summary>
internal enum HandshakeConversation
{
    /// <summary>To open the export.</summary>
    Go,

    /// <summary>To learn about it.</summary>
    Info,

    /// <summary>A list of all exports, with what they are.</summary>
    List,
}
