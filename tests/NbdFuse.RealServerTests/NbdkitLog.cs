using NbdFuse.TestKit;

namespace NbdFuse.RealServerTests;

/// <summary>The calls that nbdkit's log filter has written down.</summary>
internal sealed class NbdkitLog : IDisposable
{
    private readonly TempDirectory _directory = new();

    /// <summary>Argument of nbdkit, to follow those of the plugin.</summary>
    public string Argument => $"logfile={_directory["log"]}";

    /// <summary>What was called, in order, with its parameters.</summary>
    public string[] Calls =>
    [
        .. File.ReadAllLines(_directory["log"])
            .Where(line => line.Contains(" connection=", StringComparison.Ordinal) && !line.Contains(" ...", StringComparison.Ordinal)
                || line.EndsWith(" ...", StringComparison.Ordinal)),
    ];

    /// <summary>Calls of one kind.</summary>
    public string[] Of(string name) => [.. Calls.Where(line => line.Contains($" {name} ", StringComparison.Ordinal))];

    public void Dispose() => _directory.Dispose();
}
