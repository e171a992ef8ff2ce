using NbdFuse.Protocol;

namespace NbdFuse.Fuzz.Targets;

/// <summary>Inputs that stand for several files: parts with a mark between them.</summary>
internal static class FuzzFiles
{
    private static ReadOnlySpan<byte> Mark => "\n--8<--\n"u8;

    /// <summary>Makes one input of several files.</summary>
    /// <param name="files">Their content.</param>
    public static byte[] Join(params byte[][] files)
    {
        List<byte> all = [];
        for (int i = 0; i < files.Length; i++)
        {
            if (i > 0)
            {
                all.AddRange(Mark);
            }

            all.AddRange(files[i]);
        }

        return [.. all];
    }

    /// <summary>Takes an input apart; what is behind the last file that is wanted belongs to that.</summary>
    /// <param name="input">The input.</param>
    /// <param name="count">How many files are wanted.</param>
    /// <returns>One entry each; null for a file that is not there.</returns>
    public static byte[]?[] Split(ReadOnlySpan<byte> input, int count)
    {
        byte[]?[] files = new byte[]?[count];
        for (int i = 0; i < count; i++)
        {
            int end = i == count - 1 ? -1 : input.IndexOf(Mark);
            files[i] = end < 0 ? input.ToArray() : input[..end].ToArray();
            if (end < 0)
            {
                break;
            }

            input = input[(end + Mark.Length)..];
        }

        return files;
    }

    /// <summary>Sees to it that a refusal is what a user can be shown: one line, not too long.</summary>
    /// <param name="error">The refusal.</param>
    public static void RequireOneLine(NbdException error)
    {
        if (error.Message.Length is 0 or > 2000 || error.Message.AsSpan().ContainsAny('\n', '\r', '\0'))
        {
            throw new FuzzFailureException($"this is no line for a user: {error.Message}");
        }
    }
}
