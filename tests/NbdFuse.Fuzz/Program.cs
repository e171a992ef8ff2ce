using System.Globalization;
using NbdFuse.Fuzz;
using NbdFuse.Fuzz.Targets;

const string Usage = """
    usage: NbdFuse.Fuzz [--seconds N] [--seed N] [--findings DIR] [TARGET...]   fuzz, all targets in turn by default
           NbdFuse.Fuzz --replay FILE TARGET                                    run one saved input
           NbdFuse.Fuzz --list                                                  names of the targets
           NbdFuse.Fuzz --capture DIR                                           record the corpus from real servers
    """;

double seconds = 60;
int seed = Environment.TickCount;
string findings = "fuzz-findings";
string? replay = null;
string? capture = null;
List<string> names = [];
for (int i = 0; i < args.Length; i++)
{
    string Value() => ++i < args.Length ? args[i] : throw new ArgumentException($"{args[i - 1]} needs a value");
    switch (args[i])
    {
        case "--seconds":
            seconds = double.Parse(Value(), CultureInfo.InvariantCulture);
            break;
        case "--seed":
            seed = int.Parse(Value(), CultureInfo.InvariantCulture);
            break;
        case "--findings":
            findings = Value();
            break;
        case "--replay":
            replay = Value();
            break;
        case "--capture":
            capture = Value();
            break;
        case "--list":
            Console.WriteLine(string.Join('\n', Targets.Names));
            return 0;
        case "--help":
            Console.WriteLine(Usage);
            return 0;
        default:
            names.Add(args[i]);
            break;
    }
}

if (capture is not null)
{
    await Capture.RunAsync(capture);
    return 0;
}

if (names.Find(name => !Targets.Names.Contains(name)) is string unknown)
{
    Console.Error.WriteLine($"no target '{unknown}': there are {string.Join(", ", Targets.Names)}");
    return 2;
}

if (replay is not null && names.Count != 1)
{
    Console.Error.WriteLine("--replay needs the name of one target");
    return 2;
}

using var runner = new FuzzRunner(findings);
int failures = 0;
string[] chosen = names.Count > 0 ? [.. names] : [.. Targets.Names];
foreach (string name in chosen)
{
    using IFuzzTarget target = Targets.Make(name);
    if (replay is not null)
    {
        string? wrong = runner.RunOne(target, File.ReadAllBytes(replay));
        Console.WriteLine(wrong ?? "nothing is wrong with it");
        return wrong is null ? 0 : 1;
    }

    (long inputs, string? finding) = runner.Run(target, seed, TimeSpan.FromSeconds(seconds / chosen.Length));
    Console.WriteLine($"{name}: {inputs} inputs from seed {seed}: {(finding is null ? "nothing found" : "FOUND")}");
    if (finding is not null)
    {
        Console.WriteLine(finding);
        failures++;
    }
}

return failures == 0 ? 0 : 1;
