using System.CommandLine;
using System.Globalization;
using Microsoft.Extensions.Logging;
using NbdFuse.Attach;
using NbdFuse.Protocol;

namespace NbdFuse.Cli;

/// <summary>The verbs for block devices.</summary>
/// <param name="output">Standard output.</param>
/// <param name="error">Standard error.</param>
/// <param name="words">The command line, the verb first.</param>
/// <param name="loggers">Makes the log that a command line asks for.</param>
internal sealed class AttachVerbs(TextWriter output, TextWriter error, IReadOnlyList<string> words, Func<ParseResult, ILoggerFactory> loggers)
{
    private const string Fuse = "fuse";
    private static readonly string[] LaterDrivers = ["ublk", "nbd"];

    /// <summary>attach.</summary>
    /// <param name="uri">The export.</param>
    /// <param name="shared">Options that all verbs have.</param>
    public Command Attach(Argument<NbdUri> uri, params Option[] shared)
    {
        var driver = new Option<string>("--driver") { Description = "How the device is made: auto or fuse, a loop device on a FUSE file", HelpName = "DRIVER" };
        var device = new Option<string>("--device") { Description = "Loop device to use, such as /dev/loop7 (default: a free one)", HelpName = "DEV" };
        var readOnly = new Option<bool>("--read-only", "-r") { Description = "Refuse writes" };
        var foreground = new Option<bool>("--foreground") { Description = "Stay, and detach at the end: by SIGINT, unless the device is in use" };
        var mountOptions = new Option<string[]>("-o") { Description = "Mount options, as --fuse-help lists them", HelpName = "OPTION", AllowMultipleArgumentsPerToken = false };
        var entry = new Option<string>(AttachCommand.EntryOption) { Hidden = true };
        var connections = new Option<int?>("--connections", "-C")
        {
            Description = $"Connections, if the server allows several (default: {NbdfuseArguments.DefaultConnections})",
            HelpName = "N",
            CustomParser = argument =>
            {
                if (!int.TryParse(argument.Tokens[0].Value, NumberStyles.None, CultureInfo.InvariantCulture, out int number)
                    || number is < 1 or > NbdfuseArguments.MaximumConnections)
                {
                    argument.AddError($"--connections is a number from 1 to {NbdfuseArguments.MaximumConnections}");
                }

                return number;
            },
        };
        driver.Validators.Add(result =>
        {
            string name = result.Tokens[0].Value;
            if (LaterDrivers.Contains(name))
            {
                result.AddError($"the driver {name} is not built yet: use --driver=fuse, or leave it out");
            }
            else if (name is not ("auto" or Fuse))
            {
                result.AddError($"there is no driver '{name}': use auto or fuse");
            }
        });
        var command = new Command("attach", "Make a block device of an export; prints its path when it can be used")
        {
            uri, driver, device, readOnly, foreground, connections, mountOptions, entry,
        };
        Array.ForEach(shared, command.Options.Add);
        command.SetAction(async (result, _) =>
        {
            using ILoggerFactory log = loggers(result);
            var arguments = new AttachArguments
            {
                Uri = result.GetRequiredValue(uri),
                Device = result.GetValue(device),
                ReadOnly = result.GetValue(readOnly),
                Connections = result.GetValue(connections) ?? NbdfuseArguments.DefaultConnections,
                MountOptions = result.GetValue(mountOptions) ?? [],
                Foreground = result.GetValue(foreground),
                Entry = result.GetValue(entry),
                Words = [.. words.Skip(1)],
            };
            return await AttachCommand.RunAsync(arguments, log, output, error).ConfigureAwait(false);
        });
        return command;
    }

    /// <summary>detach.</summary>
    /// <param name="shared">Options that all verbs have.</param>
    public Command Detach(params Option[] shared)
    {
        var target = new Argument<string>("DEV|MOUNTPOINT") { Description = "The device, or where a file system on it is mounted, which is unmounted first" };
        var force = new Option<bool>("--force") { Description = "Fail what is in flight, and do it although the device is in use" };
        var command = new Command("detach", "Flush, take the device down, end its daemon; refuses while the device is in use") { target, force };
        Array.ForEach(shared, command.Options.Add);
        command.SetAction(async (result, _) =>
            await DetachCommand.RunAsync(result.GetRequiredValue(target), result.GetValue(force), error).ConfigureAwait(false));
        return command;
    }

    /// <summary>status.</summary>
    /// <param name="json">The option for JSON.</param>
    /// <param name="shared">Options that all verbs have.</param>
    public Command Status(Option<bool> json, params Option[] shared)
    {
        var command = new Command("status", "Show what is attached, and what was asked of it") { json };
        Array.ForEach(shared, command.Options.Add);
        command.SetAction(async (result, _) =>
        {
            IReadOnlyList<AttachStatus> devices = await AttachedDevices.ListAsync().ConfigureAwait(false);
            await output.WriteAsync(result.GetValue(json) ? StatusReport.ToJson(devices) : StatusReport.ToText(devices)).ConfigureAwait(false);
            return 0;
        });
        return command;
    }
}
