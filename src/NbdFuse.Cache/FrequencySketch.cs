using System.Numerics;

namespace NbdFuse.Cache;

/// <summary>
/// Estimates how often a key was used lately, in four bits per counter: a count-min sketch whose four counters of a key
/// lie in one line of the processor's cache, and all of which are halved now and then, so that old fame fades
/// (Einziger, Friedman, Manes: TinyLFU, 2017).
/// </summary>
/// <remarks>THREADING: one thread. Nothing is allocated after the constructor.</remarks>
internal sealed class FrequencySketch
{
    /// <summary>The highest estimate: four bits.</summary>
    public const int Maximum = 15;

    private const int WordsPerLine = 8;
    private const ulong LowestThreeBitsOfEach = 0x7777777777777777;
    private readonly ulong[] _words;
    private readonly uint _lineMask;
    private readonly long _period;
    private long _additions;

    /// <summary>Makes a sketch without any memory of keys.</summary>
    /// <param name="entries">Keys that the cache holds, 1 or more: there are 16 counters for each.</param>
    public FrequencySketch(int entries)
    {
        int words = (int)BitOperations.RoundUpToPowerOf2((uint)Math.Max(entries, WordsPerLine));
        _words = new ulong[words];
        _lineMask = (uint)(words / WordsPerLine) - 1;
        _period = 5L * entries;
    }

    /// <summary>Notes a use.</summary>
    /// <param name="hash">Hash of the key; all 64 bits are used.</param>
    public void Increment(ulong hash)
    {
        int line = Line(hash);
        bool isAdded = false;
        for (int row = 0; row < 4; row++)
        {
            ref ulong word = ref _words[line + Word(hash, row)];
            int shift = Shift(hash, row);
            if (((word >> shift) & Maximum) != Maximum)
            {
                word += 1UL << shift;
                isAdded = true;
            }
        }

        if (isAdded && ++_additions >= _period)
        {
            Halve();
        }
    }

    /// <summary>How often a key was used lately, 0 to <see cref="Maximum"/>; too high for a few.</summary>
    /// <param name="hash">Hash of the key.</param>
    public int Estimate(ulong hash)
    {
        int line = Line(hash);
        int least = Maximum;
        for (int row = 0; row < 4; row++)
        {
            int counter = (int)(_words[line + Word(hash, row)] >> Shift(hash, row)) & Maximum;
            least = Math.Min(least, counter);
        }

        return least;
    }

    /// <summary>Forgets everything.</summary>
    public void Clear()
    {
        Array.Clear(_words);
        _additions = 0;
    }

    // The upper half of the hash chooses the line, the lower one the counters in it: five bits per row.
    private int Line(ulong hash) => (int)((uint)(hash >> 32) & _lineMask) * WordsPerLine;

    private static int Word(ulong hash, int row) => (row * 2) + (int)((hash >> (row * 5)) & 1);

    private static int Shift(ulong hash, int row) => (int)((hash >> ((row * 5) + 1)) & 15) * 4;

    private void Halve()
    {
        _additions /= 2;
        Span<ulong> words = _words;
        for (int i = 0; i < words.Length; i++)
        {
            words[i] = (words[i] >> 1) & LowestThreeBitsOfEach;
        }
    }
}
