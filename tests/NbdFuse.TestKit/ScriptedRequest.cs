using NbdFuse.Protocol;

namespace NbdFuse.TestKit;

/// <summary>A request that the client has sent.</summary>
/// <param name="Header">Its header.</param>
/// <param name="Payload">Payload of a WRITE, else empty.</param>
public sealed record ScriptedRequest(NbdRequestHeader Header, byte[] Payload)
{
    /// <summary>What to do.</summary>
    public NbdCommand Command => Header.Command;

    /// <summary>Command flags.</summary>
    public NbdCommandFlags Flags => Header.Flags;

    /// <summary>Cookie.</summary>
    public ulong Cookie => Header.Cookie;

    /// <summary>Offset in bytes.</summary>
    public long Offset => (long)Header.Offset;

    /// <summary>Length in bytes.</summary>
    public int Length => (int)Header.Length;
}
