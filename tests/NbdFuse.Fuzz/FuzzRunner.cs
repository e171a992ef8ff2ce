using System.Diagnostics;
using System.Globalization;

namespace NbdFuse.Fuzz;

/// <summary>
/// Feeds a target with its corpus and then with changed inputs, and turns exceptions, hangs and greed into findings.
/// </summary>
/// <remarks>
/// THREADING: the inputs run on the caller's thread; a watchdog looks at the clock from another one, and ends the process when an
/// input does not come back, after it has saved that input: a thread that hangs can't be stopped.
/// </remarks>
internal sealed class FuzzRunner : IDisposable
{
    /// <summary>An input that takes longer hangs. Far above what a loaded machine needs for any.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    /// <summary>Most bytes that one input may make the process allocate: the handshake's limits stay far below.</summary>
    private const long MaximumAllocation = 96L << 20;

    private readonly string _findings;
    private readonly Timer _watchdog;
    private readonly Lock _lock = new();
    private string? _running;
    private byte[] _input = [];
    private long _since;

    public FuzzRunner(string findings)
    {
        _findings = findings;
        _watchdog = new Timer(_ => Watch(), null, Patience / 4, Patience / 4);
    }

    /// <summary>Runs one target for a while.</summary>
    /// <param name="target">The target.</param>
    /// <param name="seed">Seed of the changes.</param>
    /// <param name="duration">How long.</param>
    /// <returns>Inputs that were run, and the finding that ended it, if there was one.</returns>
    public (long Inputs, string? Finding) Run(IFuzzTarget target, int seed, TimeSpan duration)
    {
        IReadOnlyList<byte[]> corpus = Corpus.Of(target);
        var mutator = new Mutator(new Random(seed));
        long begin = Stopwatch.GetTimestamp();
        long count = 0;
        var growth = new Growth();
        while (count < corpus.Count || Stopwatch.GetElapsedTime(begin) < duration)
        {
            byte[] input = count < corpus.Count ? corpus[(int)count] : mutator.Next(corpus);
            count++;
            if (RunOne(target, input) is string finding)
            {
                string path = Save(target.Name, input);
                return (count, $"{finding}\ninput {count} of seed {seed}, saved as {path}");
            }

            if (growth.Look(count) is string grown)
            {
                return (count, $"{grown} within {count} inputs of seed {seed}");
            }
        }

        return (count, null);
    }

    /// <summary>Runs one input.</summary>
    /// <param name="target">The target.</param>
    /// <param name="input">The input.</param>
    /// <returns>What is wrong; null when nothing is.</returns>
    public string? RunOne(IFuzzTarget target, byte[] input)
    {
        long before = GC.GetTotalAllocatedBytes(precise: false);
        lock (_lock)
        {
            _running = target.Name;
            _input = input;
            _since = Stopwatch.GetTimestamp();
        }

        try
        {
            target.Run(input);
        }
        catch (Exception error)
        {
            return error.ToString();
        }
        finally
        {
            lock (_lock)
            {
                _running = null;
            }
        }

        long allocated = GC.GetTotalAllocatedBytes(precise: false) - before;
        return allocated > MaximumAllocation
            ? string.Create(CultureInfo.InvariantCulture, $"{allocated} bytes were allocated for an input of {input.Length} bytes")
            : null;
    }

    public void Dispose() => _watchdog.Dispose();

    private void Watch()
    {
        lock (_lock)
        {
            if (_running is string name && Stopwatch.GetElapsedTime(_since) > Patience)
            {
                Console.Error.WriteLine($"{name}: an input did not come back within {Patience.TotalSeconds} s, saved as {Save(name, _input)}");
                Environment.Exit(1);
            }
        }
    }

    private string Save(string name, byte[] input)
    {
        Directory.CreateDirectory(_findings);
        string hash = Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(input))[..16];
        string path = Path.Combine(_findings, $"{name}-{hash}.bin");
        File.WriteAllBytes(path, input);
        return path;
    }
}
