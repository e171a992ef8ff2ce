using System.Runtime.CompilerServices;

namespace NbdFuse.Cli;

/// <summary>
/// Reads options as glibc's getopt_long(3) does with a leading <c>+</c>: short ones may be clustered, long ones abbreviated,
/// one <c>--</c> ends them, and so does the first argument that is no option. Messages are glibc's.
/// </summary>
/// <param name="options">What is known, libnbd's names before own ones.</param>
internal sealed class GetoptParser(IReadOnlyList<GetoptOption> options)
{
    /// <summary>Reads options one by one; what follows a yielded one is not looked at before the next is asked for.</summary>
    /// <param name="arguments">The command's arguments.</param>
    /// <param name="operands">Receives the number of the first argument that is no option.</param>
    /// <exception cref="UsageException">An option is unknown, ambiguous, or lacks its argument.</exception>
    public IEnumerable<(OptionId Id, string? Argument)> Read(IReadOnlyList<string> arguments, StrongBox<int> operands)
    {
        int next = 0;
        while (next < arguments.Count)
        {
            string word = arguments[next];
            if (word == "--")
            {
                next++;
                break;
            }

            if (word.Length < 2 || word[0] != '-')
            {
                break;
            }

            next++;
            if (word.StartsWith("--", StringComparison.Ordinal))
            {
                yield return ReadLong(word, arguments, ref next);
                continue;
            }

            for (int at = 1; at < word.Length; at++)
            {
                GetoptOption option = FindShort(word[at]);
                if (!option.TakesArgument)
                {
                    yield return (option.Id, null);
                    continue;
                }

                yield return (option.Id, at + 1 < word.Length ? word[(at + 1)..] : TakeNext(arguments, ref next, option));
                break;
            }
        }

        operands.Value = next;
    }

    private static string TakeNext(IReadOnlyList<string> arguments, ref int next, GetoptOption option) =>
        next < arguments.Count
            ? arguments[next++]
            : throw new UsageException($"option requires an argument -- '{option.Short}'");

    private GetoptOption FindShort(char letter)
    {
        foreach (GetoptOption option in options)
        {
            if (option.Short == letter && letter != '\0')
            {
                return option;
            }
        }

        throw new UsageException($"invalid option -- '{letter}'");
    }

    private (OptionId Id, string? Argument) ReadLong(string word, IReadOnlyList<string> arguments, ref int next)
    {
        int equals = word.IndexOf('=', StringComparison.Ordinal);
        string name = equals < 0 ? word[2..] : word[2..equals];
        GetoptOption option = FindLong(name, word);
        if (!option.TakesArgument)
        {
            return equals < 0
                ? (option.Id, null)
                : throw new UsageException($"option '--{option.Long}' doesn't allow an argument");
        }

        if (equals >= 0)
        {
            return (option.Id, word[(equals + 1)..]);
        }

        return next < arguments.Count
            ? (option.Id, arguments[next++])
            : throw new UsageException($"option '--{option.Long}' requires an argument");
    }

    private GetoptOption FindLong(string name, string word)
    {
        List<GetoptOption> candidates = [];
        foreach (GetoptOption option in options)
        {
            if (option.Long == name)
            {
                return option;
            }

            if (option.Long?.StartsWith(name, StringComparison.Ordinal) == true)
            {
                candidates.Add(option);
            }
        }

        if (candidates.Exists(o => !o.IsOwn))
        {
            candidates.RemoveAll(o => o.IsOwn);
        }

        if (candidates.Count == 0)
        {
            throw new UsageException($"unrecognized option '{word}'");
        }

        // Several spellings of one option are not ambiguous.
        return candidates.TrueForAll(o => o.Id == candidates[0].Id)
            ? candidates[0]
            : throw new UsageException(
                $"option '{word}' is ambiguous; possibilities: {string.Join(' ', candidates.Select(o => $"'--{o.Long}'"))}");
    }
}
