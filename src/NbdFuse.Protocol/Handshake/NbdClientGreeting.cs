using System.Buffers.Binary;

namespace NbdFuse.Protocol;

/// <summary>The client's answer to <see cref="NbdNewstyleGreeting"/> (proto.md, "Client flags").</summary>
/// <param name="Flags">Client flags, unknown bits included.</param>
public readonly record struct NbdClientGreeting(NbdClientFlags Flags)
{
    /// <summary>Bytes on the wire.</summary>
    public const int Size = 4;

    /// <summary>Whether a bit is set that no client may set: the server must drop the connection.</summary>
    public bool HasUnknownFlags => (Flags & ~(NbdClientFlags.FixedNewstyle | NbdClientFlags.NoZeroes)) != 0;

    /// <summary>Writes the answer.</summary>
    public static void Write(Span<byte> destination, NbdClientFlags flags) =>
        BinaryPrimitives.WriteUInt32BigEndian(destination, (uint)flags);

    /// <summary>Reads the answer.</summary>
    /// <returns>False when the source is shorter than <see cref="Size"/>.</returns>
    public static bool TryRead(ReadOnlySpan<byte> source, out NbdClientGreeting greeting)
    {
        bool complete = BinaryPrimitives.TryReadUInt32BigEndian(source, out uint flags);
        greeting = new NbdClientGreeting((NbdClientFlags)flags);
        return complete;
    }
}
