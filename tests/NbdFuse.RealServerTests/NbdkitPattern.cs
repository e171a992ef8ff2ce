using System.Buffers.Binary;

namespace NbdFuse.RealServerTests;

/// <summary>What nbdkit's pattern plugin serves: each 8 bytes hold their own offset, big-endian.</summary>
internal static class NbdkitPattern
{
    public static byte[] Create(long offset, int length)
    {
        byte[] data = new byte[length];
        Span<byte> word = stackalloc byte[8];
        for (int i = 0; i < length; i++)
        {
            long position = offset + i;
            if (i == 0 || (position & 7) == 0)
            {
                BinaryPrimitives.WriteInt64BigEndian(word, position & ~7L);
            }

            data[i] = word[(int)(position & 7)];
        }

        return data;
    }
}
