using NbdFuse.Protocol;

namespace NbdFuse.Client;

/// <summary>One reply to an option.</summary>
/// <param name="Type">Type of the reply.</param>
/// <param name="Data">Its data; valid until the next read from the channel.</param>
internal readonly record struct OptionReply(NbdOptionReplyType Type, ReadOnlyMemory<byte> Data)
{
    /// <summary>Whether it is an error, known or not (bit 31 of the type).</summary>
    public bool IsError => ((uint)Type & 0x8000_0000) != 0;
}
