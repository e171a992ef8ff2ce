using System.Runtime.InteropServices;
using System.Text;

namespace NbdFuse.Native.Netlink;

/// <summary>Builds one message of a generic netlink family. Control plane: allocates.</summary>
/// <remarks>Numbers travel in the byte order of the machine; attributes begin at multiples of 4 bytes.</remarks>
public sealed class NetlinkMessageWriter
{
    /// <summary>Most bytes of a message: what a request may sensibly take, a thousand sockets included.</summary>
    public const int MaximumBytes = 32 * 1024;

    private const int Alignment = 4;
    private static readonly int HeaderBytes = Marshal.SizeOf<NetlinkHeader>() + Marshal.SizeOf<GenericNetlinkHeader>();

    private byte[] _bytes = new byte[512];
    private int _length;

    /// <summary>Begins a message.</summary>
    /// <param name="family">Number of the family.</param>
    /// <param name="flags">Flag constants of <see cref="NetlinkConstants"/>.</param>
    /// <param name="sequence">What the answers repeat.</param>
    /// <param name="command">Command of the family.</param>
    /// <param name="version">Version of the family.</param>
    public NetlinkMessageWriter(ushort family, ushort flags, uint sequence, byte command, byte version)
    {
        NetlinkHeader header = new() { Type = family, Flags = flags, Sequence = sequence };
        GenericNetlinkHeader generic = new() { Command = command, Version = version };
        MemoryMarshal.Write(_bytes, header);
        MemoryMarshal.Write(_bytes.AsSpan(Marshal.SizeOf<NetlinkHeader>()), generic);
        _length = HeaderBytes;
    }

    /// <summary>Adds an attribute of 32 bits.</summary>
    /// <param name="type">Its type.</param>
    /// <param name="value">Its value.</param>
    public void Add(ushort type, uint value) => MemoryMarshal.Write(Append(type, sizeof(uint)), value);

    /// <summary>Adds an attribute of 64 bits.</summary>
    /// <param name="type">Its type.</param>
    /// <param name="value">Its value.</param>
    public void Add(ushort type, ulong value) => MemoryMarshal.Write(Append(type, sizeof(ulong)), value);

    /// <summary>Adds a text, which ends with a NUL.</summary>
    /// <param name="type">Its type.</param>
    /// <param name="value">The text, without NUL.</param>
    public void Add(ushort type, string value)
    {
        Span<byte> payload = Append(type, Encoding.UTF8.GetByteCount(value) + 1);
        payload[Encoding.UTF8.GetBytes(value, payload)] = 0;
    }

    /// <summary>Begins an attribute that holds attributes.</summary>
    /// <param name="type">Its type.</param>
    /// <returns>What <see cref="End"/> wants.</returns>
    public int Begin(ushort type)
    {
        int start = _length;
        Append((ushort)(type | NetlinkConstants.AttributeNested), 0);
        return start;
    }

    /// <summary>Ends an attribute that holds attributes; the last one that was begun first.</summary>
    /// <param name="start">What <see cref="Begin"/> gave.</param>
    public void End(int start) => MemoryMarshal.Write(_bytes.AsSpan(start), (ushort)(_length - start));

    /// <summary>Ends the message.</summary>
    /// <returns>Its bytes; valid until something is added.</returns>
    public ReadOnlySpan<byte> Finish()
    {
        MemoryMarshal.Write(_bytes, (uint)_length);
        return _bytes.AsSpan(0, _length);
    }

    private Span<byte> Append(ushort type, int payload)
    {
        int header = Marshal.SizeOf<NetlinkAttributeHeader>();
        int whole = header + payload;
        int padded = (whole + Alignment - 1) & ~(Alignment - 1);
        if (whole > ushort.MaxValue || _length + padded > MaximumBytes)
        {
            throw new ArgumentException($"A netlink request is limited to {MaximumBytes} bytes.");
        }

        if (_length + padded > _bytes.Length)
        {
            Array.Resize(ref _bytes, Math.Max(_bytes.Length * 2, _length + padded));
        }

        Span<byte> room = _bytes.AsSpan(_length, padded);
        room.Clear();
        MemoryMarshal.Write(room, new NetlinkAttributeHeader { Length = (ushort)whole, Type = type });
        _length += padded;
        return room.Slice(header, payload);
    }
}
