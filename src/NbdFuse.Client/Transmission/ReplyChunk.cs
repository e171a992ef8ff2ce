using NbdFuse.Protocol;

namespace NbdFuse.Client.Transmission;

/// <summary>Head of a chunk, whatever form it had on the wire.</summary>
/// <param name="Flags">Reply flags.</param>
/// <param name="Type">Type of the chunk.</param>
/// <param name="Length">Bytes of the payload.</param>
/// <param name="HeaderBytes">Bytes of the header on the wire, before the payload.</param>
internal readonly record struct ReplyChunk(NbdReplyFlags Flags, NbdReplyType Type, uint Length, int HeaderBytes)
{
    /// <summary>Whether the chunk reports an error, known or not.</summary>
    public bool IsError => ((ushort)Type & 0x8000) != 0;

    /// <summary>Whether it is the last one of its reply.</summary>
    public bool IsDone => (Flags & NbdReplyFlags.Done) != 0;
}
