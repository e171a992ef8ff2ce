using System.Buffers.Binary;

namespace NbdFuse.Protocol;

/// <summary>First bytes of a newstyle server (proto.md, "Newstyle negotiation").</summary>
/// <param name="Flags">Handshake flags, unknown bits included.</param>
public readonly record struct NbdNewstyleGreeting(NbdHandshakeFlags Flags)
{
    /// <summary>Bytes on the wire.</summary>
    public const int Size = 18;

    /// <summary>Writes the header.</summary>
    /// <exception cref="ArgumentException">The destination is shorter than <see cref="Size"/>.</exception>
    public static void Write(Span<byte> destination, NbdHandshakeFlags flags)
    {
        // One check up front: a header is written whole or not at all.
        if (destination.Length < Size)
        {
            throw new ArgumentException("Too short for the header.", nameof(destination));
        }

        BinaryPrimitives.WriteUInt64BigEndian(destination, NbdMagic.Init);
        BinaryPrimitives.WriteUInt64BigEndian(destination[8..], NbdMagic.Option);
        BinaryPrimitives.WriteUInt16BigEndian(destination[16..], (ushort)flags);
    }

    /// <summary>Reads the header.</summary>
    /// <returns>False when the source is shorter than <see cref="Size"/> or has another magic.</returns>
    public static bool TryRead(ReadOnlySpan<byte> source, out NbdNewstyleGreeting header)
    {
        header = default;
        if (source.Length < Size
            || BinaryPrimitives.ReadUInt64BigEndian(source) != NbdMagic.Init
            || BinaryPrimitives.ReadUInt64BigEndian(source[8..]) != NbdMagic.Option)
        {
            return false;
        }

        header = new NbdNewstyleGreeting(
            (NbdHandshakeFlags)BinaryPrimitives.ReadUInt16BigEndian(source[16..]));
        return true;
    }

    /// <summary>Bytes that <see cref="Identify"/> needs for a final answer.</summary>
    public const int IdentifySize = 16;

    /// <summary>Tells what kind of peer the first bytes come from.</summary>
    /// <param name="source">The first bytes; more than <see cref="IdentifySize"/> are not looked at.</param>
    /// <returns>
    /// <see cref="NbdGreetingKind.Incomplete"/> as long as the bytes are the start of a greeting. A wrong byte is
    /// reported at once, for a peer that speaks another protocol may never send sixteen.
    /// </returns>
    public static NbdGreetingKind Identify(ReadOnlySpan<byte> source)
    {
        Span<byte> expected = stackalloc byte[IdentifySize];
        BinaryPrimitives.WriteUInt64BigEndian(expected, NbdMagic.Init);
        BinaryPrimitives.WriteUInt64BigEndian(expected[8..], NbdMagic.Option);
        ReadOnlySpan<byte> seen = source[..Math.Min(source.Length, IdentifySize)];
        if (expected.StartsWith(seen))
        {
            return seen.Length == IdentifySize ? NbdGreetingKind.Newstyle : NbdGreetingKind.Incomplete;
        }

        BinaryPrimitives.WriteUInt64BigEndian(expected[8..], NbdMagic.OldStyle);
        if (expected.StartsWith(seen))
        {
            return seen.Length == IdentifySize ? NbdGreetingKind.Oldstyle : NbdGreetingKind.Incomplete;
        }

        return NbdGreetingKind.NotNbd;
    }

    /// <summary>
    /// The client flags that answer this greeting: what the server offered and this client supports. Both flags, and
    /// never one that was not offered, which a server must treat as a violation.
    /// </summary>
    public NbdClientFlags Answer()
    {
        NbdClientFlags answer = NbdClientFlags.None;
        if ((Flags & NbdHandshakeFlags.FixedNewstyle) != 0)
        {
            answer |= NbdClientFlags.FixedNewstyle;
        }

        if ((Flags & NbdHandshakeFlags.NoZeroes) != 0)
        {
            answer |= NbdClientFlags.NoZeroes;
        }

        return answer;
    }
}
