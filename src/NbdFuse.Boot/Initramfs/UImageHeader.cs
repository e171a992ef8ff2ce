using System.Buffers.Binary;
using System.Text;

namespace NbdFuse.Boot;

/// <summary>The header of U-Boot's legacy image format (include/image.h of U-Boot): 64 bytes, big endian.</summary>
internal static class UImageHeader
{
    /// <summary>Its length in bytes.</summary>
    public const int Length = 64;

    private const uint Magic = 0x27051956;
    private const uint Polynomial = 0xEDB88320;
    private const byte Linux = 5;
    private const byte RamDisk = 3;

    // What U-Boot shall do with the data: nothing, the kernel decompresses it.
    private const byte NoCompression = 0;
    private const int NameOffset = 32;

    /// <summary>Makes the header.</summary>
    /// <param name="data">The compressed archive.</param>
    /// <param name="architecture">As <c>uname -m</c> prints it.</param>
    /// <param name="time">Seconds since 1970.</param>
    /// <exception cref="BootException">U-Boot has no number for the architecture.</exception>
    public static byte[] Make(ReadOnlySpan<byte> data, string architecture, long time)
    {
        byte[] header = new byte[Length];
        BinaryPrimitives.WriteUInt32BigEndian(header, Magic);
        BinaryPrimitives.WriteUInt32BigEndian(header.AsSpan(8), (uint)time);
        BinaryPrimitives.WriteUInt32BigEndian(header.AsSpan(12), (uint)data.Length);
        BinaryPrimitives.WriteUInt32BigEndian(header.AsSpan(24), Checksum(data));
        header[28] = Linux;
        header[29] = NumberOf(architecture);
        header[30] = RamDisk;
        header[31] = NoCompression;
        Encoding.ASCII.GetBytes("nbdfuse").CopyTo(header, NameOffset);
        BinaryPrimitives.WriteUInt32BigEndian(header.AsSpan(4), Checksum(header));
        return header;
    }

    /// <summary>CRC-32 of IEEE 802.3, as zlib computes it.</summary>
    /// <param name="data">The bytes.</param>
    public static uint Checksum(ReadOnlySpan<byte> data)
    {
        uint[] table = new uint[256];
        for (uint i = 0; i < table.Length; i++)
        {
            uint value = i;
            for (int bit = 0; bit < 8; bit++)
            {
                value = (value & 1) == 0 ? value >> 1 : (value >> 1) ^ Polynomial;
            }

            table[i] = value;
        }

        uint sum = uint.MaxValue;
        foreach (byte b in data)
        {
            sum = table[(sum ^ b) & 0xff] ^ (sum >> 8);
        }

        return ~sum;
    }

    private static byte NumberOf(string architecture) => architecture switch
    {
        "armv7l" => 2,
        "i686" => 3,
        "ppc64le" => 7,
        "aarch64" => 22,
        "x86_64" => 24,
        "riscv64" => 26,
        _ => throw new BootException($"--format uimage: U-Boot's format has no number for {architecture} here; use --format cpio"),
    };
}
