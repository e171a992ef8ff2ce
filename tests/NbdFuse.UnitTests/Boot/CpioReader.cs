using System.Globalization;
using System.Text;

namespace NbdFuse.UnitTests.Boot;

/// <summary>Reads "newc" archives strictly, independently of the code that writes them.</summary>
internal static class CpioReader
{
    public static List<CpioEntry> Read(byte[] archive)
    {
        List<CpioEntry> entries = [];
        int at = 0;
        while (true)
        {
            string header = Encoding.ASCII.GetString(archive, at, 110);
            Assert(header.StartsWith("070701", StringComparison.Ordinal), $"no magic at {at}");
            uint[] fields = [.. Enumerable.Range(0, 13).Select(i => uint.Parse(header.AsSpan(6 + (i * 8), 8), NumberStyles.HexNumber, CultureInfo.InvariantCulture))];
            string name = Encoding.UTF8.GetString(archive, at + 110, (int)fields[11] - 1);
            Assert(archive[at + 110 + (int)fields[11] - 1] == 0, "name without a zero");
            at = Align(at + 110 + (int)fields[11]);
            byte[] content = archive[at..(at + (int)fields[6])];
            at = Align(at + (int)fields[6]);
            if (name == "TRAILER!!!")
            {
                Assert(at == archive.Length, "something follows the trailer");
                return entries;
            }

            Assert(fields[2] == 0 && fields[3] == 0, $"{name} does not belong to root");
            entries.Add(new CpioEntry(name, fields[0], fields[1], fields[5], content));
        }
    }

    private static int Align(int at) => (at + 3) & ~3;

    private static void Assert(bool condition, string message)
    {
        if (!condition)
        {
            throw new InvalidDataException(message);
        }
    }
}
