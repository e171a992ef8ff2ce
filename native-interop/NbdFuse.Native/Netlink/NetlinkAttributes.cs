using System.Runtime.InteropServices;
using System.Text;

namespace NbdFuse.Native.Netlink;

/// <summary>Walks over attributes. Every length is checked; the walk ends at the first that is wrong.</summary>
/// <param name="bytes">The attributes, with their headers.</param>
public ref struct NetlinkAttributes(ReadOnlySpan<byte> bytes)
{
    // Longest text that is taken from the kernel.
    private const int MaximumText = 512;

    private ReadOnlySpan<byte> _rest = bytes;

    /// <summary>Type of the current attribute, without flags.</summary>
    public ushort Type { get; private set; }

    /// <summary>Value of the current attribute.</summary>
    public ReadOnlySpan<byte> Value { get; private set; }

    /// <summary>Whether the walk ended at something that is no attribute.</summary>
    public bool IsMalformed { get; private set; }

    /// <summary>Goes to the next attribute.</summary>
    /// <returns>False at the end, and at what is malformed.</returns>
    public bool MoveNext()
    {
        int size = Marshal.SizeOf<NetlinkAttributeHeader>();
        if (_rest.IsEmpty)
        {
            return false;
        }

        NetlinkAttributeHeader header = _rest.Length < size ? default : MemoryMarshal.Read<NetlinkAttributeHeader>(_rest);
        if (header.Length < size || header.Length > _rest.Length)
        {
            IsMalformed = true;
            return false;
        }

        Type = (ushort)(header.Type & NetlinkConstants.AttributeTypeMask);
        Value = _rest[size..header.Length];

        // The last attribute needs no padding.
        _rest = _rest[Math.Min(_rest.Length, (header.Length + 3) & ~3)..];
        return true;
    }

    /// <summary>Reads the current attribute as 8 bits.</summary>
    /// <param name="value">The number; 0 when it has another length.</param>
    /// <returns>False when it has another length.</returns>
    public readonly bool TryRead(out byte value)
    {
        value = Value.Length == sizeof(byte) ? Value[0] : (byte)0;
        return Value.Length == sizeof(byte);
    }

    /// <summary>Reads the current attribute as 16 bits.</summary>
    /// <param name="value">The number; 0 when it has another length.</param>
    /// <returns>False when it has another length.</returns>
    public readonly bool TryRead(out ushort value)
    {
        value = Value.Length == sizeof(ushort) ? MemoryMarshal.Read<ushort>(Value) : (ushort)0;
        return Value.Length == sizeof(ushort);
    }

    /// <summary>Reads the current attribute as 32 bits.</summary>
    /// <param name="value">The number; 0 when it has another length.</param>
    /// <returns>False when it has another length.</returns>
    public readonly bool TryRead(out uint value)
    {
        value = Value.Length == sizeof(uint) ? MemoryMarshal.Read<uint>(Value) : 0;
        return Value.Length == sizeof(uint);
    }

    /// <summary>Reads the current attribute as a text up to its NUL.</summary>
    /// <param name="text">The text; empty when it is too long or no UTF-8.</param>
    /// <returns>False when it is longer than any text of the kernel, or no UTF-8.</returns>
    public readonly bool TryReadText(out string text)
    {
        text = string.Empty;
        int end = Value.IndexOf((byte)0);
        ReadOnlySpan<byte> characters = end < 0 ? Value : Value[..end];
        if (characters.Length > MaximumText || !System.Text.Unicode.Utf8.IsValid(characters))
        {
            return false;
        }

        text = Encoding.UTF8.GetString(characters);
        return true;
    }
}
