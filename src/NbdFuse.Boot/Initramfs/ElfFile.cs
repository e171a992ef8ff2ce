using System.Buffers.Binary;
using System.Text;

namespace NbdFuse.Boot;

/// <summary>
/// What the dynamic linker reads of a program or library (System V ABI, chapters 4 and 5): enough to find its libraries, for any
/// architecture, without running anything.
/// </summary>
internal sealed class ElfFile
{
    private const int Dynamic = 2;
    private const int Interpreter = 3;
    private const int Load = 1;
    private const long MaximumTable = 16 << 20;

    private readonly byte[] _bytes;
    private readonly bool _isBigEndian;

    private ElfFile(byte[] bytes)
    {
        _bytes = bytes;
        Is64Bit = bytes[4] == 2;
        _isBigEndian = bytes[5] == 2;
        Machine = U16(18);
        ReadSegments();
    }

    /// <summary>Whether addresses have 64 bits.</summary>
    public bool Is64Bit { get; }

    /// <summary>e_machine: 62 x86-64, 183 arm64.</summary>
    public int Machine { get; }

    /// <summary>The dynamic linker that the program asks for; null for static programs and for libraries.</summary>
    public string? InterpreterPath { get; private set; }

    /// <summary>Libraries (DT_NEEDED), in their order.</summary>
    public List<string> Needed { get; } = [];

    /// <summary>Directories that the file itself names (DT_RUNPATH, or DT_RPATH without it).</summary>
    public List<string> SearchPath { get; } = [];

    /// <summary>Name of the architecture, as <c>uname -m</c> has it; null for a less common one.</summary>
    public string? Architecture => (Machine, Is64Bit) switch
    {
        (62, true) => "x86_64",
        (3, false) => "i686",
        (183, true) => "aarch64",
        (40, false) => "armv7l",
        (243, true) => "riscv64",
        (258, true) => "loongarch64",
        (22, true) => "s390x",
        (21, true) => "ppc64le",
        _ => null,
    };

    /// <summary>Reads a file.</summary>
    /// <param name="path">Its path.</param>
    /// <returns>Null when it is no ELF file, or is damaged.</returns>
    public static ElfFile? TryRead(string path)
    {
        using FileStream file = File.OpenRead(path);
        Span<byte> start = stackalloc byte[4];
        return file.ReadAtLeast(start, start.Length, throwOnEndOfStream: false) == start.Length && start[0] == 0x7f && start[1..].SequenceEqual("ELF"u8)
            ? TryParse(File.ReadAllBytes(path))
            : null;
    }

    /// <summary>Reads an image.</summary>
    /// <param name="bytes">The whole file.</param>
    /// <returns>Null when it is no ELF file, or is damaged.</returns>
    public static ElfFile? TryParse(byte[] bytes)
    {
        if (bytes.Length < 64 || bytes[0] != 0x7f || !bytes.AsSpan(1, 3).SequenceEqual("ELF"u8) || bytes[4] is not (1 or 2) || bytes[5] is not (1 or 2))
        {
            return null;
        }

        try
        {
            return new ElfFile(bytes);
        }
        catch (ArgumentOutOfRangeException)
        {
            // An offset that points outside: a damaged file.
            return null;
        }
    }

    private static int Bounded(ulong value, long maximum) =>
        value <= (ulong)maximum ? (int)value : throw new ArgumentOutOfRangeException(nameof(value));

    private void ReadSegments()
    {
        ulong table = Is64Bit ? U64(32) : U32(28);
        int size = U16(Is64Bit ? 54 : 42);
        int count = U16(Is64Bit ? 56 : 44);
        List<(ulong Address, ulong Offset, ulong Length)> loaded = [];
        (int Offset, int Length)? dynamic = null;
        for (int i = 0; i < count; i++)
        {
            int at = Bounded(table + ((ulong)i * (ulong)size), _bytes.Length);
            uint type = U32(at);
            ulong offset = Is64Bit ? U64(at + 8) : U32(at + 4);
            ulong address = Is64Bit ? U64(at + 16) : U32(at + 8);
            ulong length = Is64Bit ? U64(at + 32) : U32(at + 16);
            switch (type)
            {
                case Load:
                    loaded.Add((address, offset, length));
                    break;
                case Dynamic:
                    dynamic = (Bounded(offset, _bytes.Length), Bounded(length, MaximumTable));
                    break;
                case Interpreter:
                    InterpreterPath = Text(Bounded(offset, _bytes.Length));
                    break;
            }
        }

        if (dynamic is var (start, bytes))
        {
            ReadDynamic(start, bytes, address =>
            {
                foreach ((ulong from, ulong offset, ulong length) in loaded)
                {
                    if (address >= from && address - from < length)
                    {
                        return Bounded(address - from + offset, _bytes.Length);
                    }
                }

                throw new ArgumentOutOfRangeException(nameof(address));
            });
        }
    }

    private void ReadDynamic(int start, int length, Func<ulong, int> fileOffset)
    {
        int size = Is64Bit ? 16 : 8;
        List<(ulong Tag, ulong Value)> entries = [];
        for (int at = start; at + size <= start + length; at += size)
        {
            (ulong tag, ulong value) = Is64Bit ? (U64(at), U64(at + 8)) : (U32(at), U32(at + 4));
            if (tag == 0)
            {
                break;
            }

            entries.Add((tag, value));
        }

        if (!entries.Exists(entry => entry.Tag == 5))
        {
            return;
        }

        int strings = fileOffset(entries.First(entry => entry.Tag == 5).Value);
        string StringAt(ulong value) => Text(Bounded((ulong)strings + value, _bytes.Length));
        Needed.AddRange(entries.Where(entry => entry.Tag == 1).Select(entry => StringAt(entry.Value)));
        ulong pathTag = entries.Exists(entry => entry.Tag == 29) ? 29UL : 15UL;
        SearchPath.AddRange(entries.Where(entry => entry.Tag == pathTag)
            .SelectMany(entry => StringAt(entry.Value).Split(':', StringSplitOptions.RemoveEmptyEntries)));
    }

    private string Text(int at)
    {
        int length = _bytes.AsSpan(at).IndexOf((byte)0);
        return length < 0 ? throw new ArgumentOutOfRangeException(nameof(at)) : Encoding.UTF8.GetString(_bytes, at, length);
    }

    private ushort U16(int at) => _isBigEndian
        ? BinaryPrimitives.ReadUInt16BigEndian(_bytes.AsSpan(at, 2))
        : BinaryPrimitives.ReadUInt16LittleEndian(_bytes.AsSpan(at, 2));

    private uint U32(int at) => _isBigEndian
        ? BinaryPrimitives.ReadUInt32BigEndian(_bytes.AsSpan(at, 4))
        : BinaryPrimitives.ReadUInt32LittleEndian(_bytes.AsSpan(at, 4));

    private ulong U64(int at) => _isBigEndian
        ? BinaryPrimitives.ReadUInt64BigEndian(_bytes.AsSpan(at, 8))
        : BinaryPrimitives.ReadUInt64LittleEndian(_bytes.AsSpan(at, 8));
}
