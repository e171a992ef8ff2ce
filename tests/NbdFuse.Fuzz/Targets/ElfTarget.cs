using System.Buffers.Binary;
using NbdFuse.Boot;

namespace NbdFuse.Fuzz.Targets;

/// <summary>Programs and libraries that an initramfs is made of: read, or taken for no program.</summary>
internal sealed class ElfTarget : IFuzzTarget
{
    public ElfTarget()
    {
        if (Seeds.Any(seed => ElfFile.TryParse(seed)?.Needed is not ["libc.so"]))
        {
            throw new InvalidOperationException("a seed is no program");
        }
    }

    public string Name => "elf";

    public IEnumerable<byte[]> Seeds => [Make(isBig: false), Make(isBig: true)];

    public void Run(byte[] input)
    {
        if (ElfFile.TryParse(input) is { } file)
        {
            _ = file.Architecture;
            long names = file.Needed.Sum(name => (long)name.Length) + file.SearchPath.Sum(path => (long)path.Length);
            if (names > 1 << 26)
            {
                throw new FuzzFailureException($"{names} characters of names in a file of {input.Length} bytes");
            }
        }
    }

    public void Dispose()
    {
    }

    // 64 bits: header, three segments (loaded whole, dynamic, interpreter), dynamic entries, strings.
    private static byte[] Make(bool isBig)
    {
        const int Segments = 64;
        const int Dynamic = Segments + (3 * 56);
        const int Strings = Dynamic + (4 * 16);
        byte[] file = new byte[Strings + 64];
        byte[] start = [0x7f, (byte)'E', (byte)'L', (byte)'F', 2, (byte)(isBig ? 2 : 1), 1];
        start.CopyTo(file, 0);
        Put16(18, 62);
        Put64(32, Segments);
        Put16(54, 56);
        Put16(56, 3);
        Segment(0, 1, 0, file.Length);
        Segment(1, 2, Dynamic, 4 * 16);
        Segment(2, 3, Strings + 32, 16);
        foreach ((int index, ulong tag, ulong value) in new[] { (0, 5UL, (ulong)Strings), (1, 1UL, 1UL), (2, 29UL, 9UL), (3, 0UL, 0UL) })
        {
            Put64(Dynamic + (16 * index), tag);
            Put64(Dynamic + (16 * index) + 8, value);
        }

        "\0libc.so\0/lib:/usr/lib\0"u8.CopyTo(file.AsSpan(Strings));
        "/lib/ld.so\0"u8.CopyTo(file.AsSpan(Strings + 32));
        return file;

        void Segment(int index, uint type, int offset, int length)
        {
            int at = Segments + (56 * index);
            Put32(at, type);
            Put64(at + 8, (ulong)offset);
            Put64(at + 16, (ulong)offset);
            Put64(at + 32, (ulong)length);
        }

        void Put16(int at, ushort value) => BinaryPrimitives.WriteUInt16LittleEndian(file.AsSpan(at), isBig ? BinaryPrimitives.ReverseEndianness(value) : value);
        void Put32(int at, uint value) => BinaryPrimitives.WriteUInt32LittleEndian(file.AsSpan(at), isBig ? BinaryPrimitives.ReverseEndianness(value) : value);
        void Put64(int at, ulong value) => BinaryPrimitives.WriteUInt64LittleEndian(file.AsSpan(at), isBig ? BinaryPrimitives.ReverseEndianness(value) : value);
    }
}
