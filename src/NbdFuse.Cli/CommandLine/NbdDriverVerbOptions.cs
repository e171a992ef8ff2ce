using System.CommandLine;
using System.Globalization;
using NbdFuse.Attach.KernelNbd;

namespace NbdFuse.Cli;

/// <summary>The options of attach that only the driver nbd has.</summary>
internal sealed class NbdDriverVerbOptions
{
    private readonly Option<int?> _timeout = Seconds(
        "--timeout", "nbd: seconds that a request may take before its connection is given up and it is sent again (default: 0, for ever)");

    private readonly Option<int?> _deadTimeout = Seconds(
        "--dead-timeout", "nbd: seconds that requests wait for the server to come back before they fail (default: for ever; without supervisor 0)");

    private readonly Option<bool> _noSupervisor = new("--no-supervisor")
    {
        Description = "nbd: leave no process behind; a lost connection is not replaced",
    };

    /// <summary>Adds them.</summary>
    /// <param name="command">attach.</param>
    /// <param name="driver">Its option for the driver.</param>
    /// <param name="foreground">Its option to stay.</param>
    public void AddTo(Command command, Option<string> driver, Option<bool> foreground)
    {
        command.Options.Add(_timeout);
        command.Options.Add(_deadTimeout);
        command.Options.Add(_noSupervisor);
        command.Validators.Add(result =>
        {
            if (result.GetValue(_noSupervisor) && result.GetValue(foreground))
            {
                result.AddError("--no-supervisor leaves no process, and --foreground is one: use one of them");
            }

            foreach (Option option in new Option[] { _timeout, _deadTimeout, _noSupervisor })
            {
                if (result.GetResult(option) is { Implicit: false } && result.GetValue(driver) != KernelNbdKind.Name)
                {
                    result.AddError($"{option.Name} is for --driver {KernelNbdKind.Name}");
                }
            }
        });
    }

    /// <summary>Reads them.</summary>
    /// <param name="result">The command line.</param>
    public NbdDriverOptions Read(ParseResult result) => new()
    {
        TimeoutSeconds = result.GetValue(_timeout) ?? 0,
        DeadTimeoutSeconds = result.GetValue(_deadTimeout),
        NoSupervisor = result.GetValue(_noSupervisor),
    };

    private static Option<int?> Seconds(string name, string description) => new(name)
    {
        Description = description,
        HelpName = "SECONDS",
        CustomParser = argument =>
        {
            if (!int.TryParse(argument.Tokens[0].Value, NumberStyles.None, CultureInfo.InvariantCulture, out int seconds)
                || seconds > NbdDriverOptions.MaximumSeconds)
            {
                argument.AddError($"{name} is a number of seconds, at most {NbdDriverOptions.MaximumSeconds}");
            }

            return seconds;
        },
    };
}
