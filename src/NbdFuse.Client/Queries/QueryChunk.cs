using NbdFuse.Protocol;

namespace NbdFuse.Client;

/// <summary>Head of a reply chunk, structured or extended.</summary>
/// <param name="Flags">Reply flags.</param>
/// <param name="Type">Type of the chunk.</param>
/// <param name="Length">Length of the payload in bytes.</param>
internal readonly record struct QueryChunk(NbdReplyFlags Flags, NbdReplyType Type, ulong Length)
{
    /// <summary>Whether the chunk reports an error, known or not (bit 15 of the type).</summary>
    public bool IsError => ((ushort)Type & 0x8000) != 0;

    /// <summary>Whether this is the last chunk of the reply.</summary>
    public bool IsDone => (Flags & NbdReplyFlags.Done) != 0;
}
