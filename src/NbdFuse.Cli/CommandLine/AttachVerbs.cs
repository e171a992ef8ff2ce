using System.CommandLine;
using System.Globalization;
using NbdFuse.Attach;
using NbdFuse.Attach.KernelNbd;
using NbdFuse.Protocol;

namespace NbdFuse.Cli;

/// <summary>The verbs for block devices.</summary>
/// <param name="output">Standard output.</param>
/// <param name="error">Standard error.</param>
/// <param name="words">The command line, the verb first.</param>
/// <param name="log">How much a command line wants to see.</param>
internal sealed class AttachVerbs(TextWriter output, TextWriter error, IReadOnlyList<string> words, Func<ParseResult, CommandLogOptions> log)
{
    /// <summary>attach.</summary>
    /// <param name="uri">The export.</param>
    /// <param name="shared">Options that all verbs have.</param>
    public Command Attach(Argument<NbdUri> uri, params Option[] shared)
    {
        var driver = new Option<string>("--driver") { Description = $"How the device is made: {string.Join(", ", DeviceDrivers.Names)} (default: auto)", HelpName = "DRIVER" };
        var device = new Option<string>("--device") { Description = "Device to use, such as /dev/loop7 (default: a free one)", HelpName = "DEV" };
        var readOnly = new Option<bool>("--read-only", "-r") { Description = "Refuse writes" };
        var foreground = new Option<bool>("--foreground") { Description = "Stay, and detach at the end: by SIGINT, unless the device is in use" };
        var blockSize = new Option<int?>("--block-size")
        {
            Description = "Logical block size: 512, 1024, 2048 or 4096 (default: 512, or 4096 if the disk was partitioned so)",
            HelpName = "BYTES",
            CustomParser = argument =>
            {
                if (!int.TryParse(argument.Tokens[0].Value, NumberStyles.None, CultureInfo.InvariantCulture, out int bytes)
                    || bytes is not (512 or 1024 or 2048 or 4096))
                {
                    argument.AddError("--block-size is 512, 1024, 2048 or 4096");
                }

                return bytes;
            },
        };
        var mountOptions = new Option<string[]>("-o") { Description = "Mount options, as --fuse-help lists them", HelpName = "OPTION", AllowMultipleArgumentsPerToken = false };
        var recover = new Option<string>(RecoveryWords.Option)
        {
            Description = "Go on with a ublk device whose process has died; without URI with the words of its attach",
            HelpName = "DEV",
        };
        if (words.Any(word => word.Split('=')[0] == RecoveryWords.Option))
        {
            uri.Arity = ArgumentArity.ZeroOrOne;
        }

        var record = new Option<string>("--record") { Description = "Record which blocks are read, in their order", HelpName = "FILE" };
        var prefetch = new Option<string>("--prefetch") { Description = "Read those of an earlier record ahead", HelpName = "FILE" };
        var keeper = new Option<bool>("--keeper") { Description = "Driver fuse: the device survives the death of the process that serves it (default)" };
        var noKeeper = new Option<bool>("--no-keeper") { Description = "One process less, and with it the device dies" };
        var kept = new Option<string>(AttachCommand.KeptOption) { Hidden = true };
        var entry = new Option<string>(AttachCommand.EntryOption) { Hidden = true };
        var prepared = new Option<bool>(AttachCommand.PreparedOption) { Hidden = true };
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
        var nbd = new NbdDriverVerbOptions();
        var tls = new TlsVerbOptions();
        driver.Validators.Add(result =>
        {
            string name = result.Tokens[0].Value;
            if (!DeviceDrivers.Names.Contains(name))
            {
                result.AddError($"there is no driver '{name}': use one of {string.Join(", ", DeviceDrivers.Names)}");
            }
        });
        var command = new Command("attach", "Make a block device of an export; prints its path when it can be used")
        {
            uri, driver, device, recover, readOnly, foreground, connections, blockSize, mountOptions, record, prefetch, keeper, noKeeper, kept, entry, prepared,
        };
        nbd.AddTo(command, driver, foreground);
        tls.AddTo(command);
        var recovery = new RecoveryVerbOptions();
        recovery.AddTo(command);
        recovery.RefuseFor(driver, KernelNbdKind.Name);
        Array.ForEach(shared, command.Options.Add);
        command.SetAction(async (result, _) =>
        {
            string? recovered = result.GetValue(recover);
            if (recovered is not null && result.GetResult(uri) is not { Tokens.Count: > 0 })
            {
                return await new VerbCommands(output, error).RunAsync(["attach", .. RecoveryWords.Find(recovered)]).ConfigureAwait(false);
            }

            AttachCommand.EnterDirectory(result.GetValue(kept));
            var arguments = new AttachArguments
            {
                Uri = result.GetRequiredValue(uri),
                Tls = tls.Read(result).With(result.GetRequiredValue(uri)),
                Device = recovered ?? result.GetValue(device),
                Recover = recovered is not null,
                Driver = recovered is not null ? UblkKind.Name : result.GetValue(driver) ?? DeviceDrivers.Automatic,
                BlockSize = result.GetValue(blockSize) ?? 0,
                ReadOnly = result.GetValue(readOnly),
                Connections = result.GetValue(connections) ?? NbdfuseArguments.DefaultConnections,
                MountOptions = result.GetValue(mountOptions) ?? [],
                Foreground = result.GetValue(foreground),
                Entry = result.GetValue(entry),
                RecordFile = result.GetValue(record),
                PrefetchFile = result.GetValue(prefetch),
                Nbd = nbd.Read(result),
                Recovery = recovery.Read(result, tls.Read(result)),
                IsPrepared = result.GetValue(prepared),
                Keeper = result.GetValue(noKeeper) ? false : result.GetValue(keeper) ? true : null,
                KeptDirectory = result.GetValue(kept),
                Words = [.. words.Skip(1)],
            };
            return await AttachCommand.RunAsync(arguments, log(result), output, error).ConfigureAwait(false);
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
            IReadOnlyList<AttachStatus> devices = await DeviceDrivers.Devices.ListAsync().ConfigureAwait(false);
            await output.WriteAsync(result.GetValue(json) ? StatusReport.ToJson(devices) : StatusReport.ToText(devices)).ConfigureAwait(false);
            if (devices.Count == 0 && RuntimeDirectory.HidesThoseOfRoot)
            {
                await error.WriteAsync($"{ErrorText.Program}: only root sees the devices that root has attached: run it as root\n").ConfigureAwait(false);
                return MountCommand.Failed;
            }

            return 0;
        });
        return command;
    }
}
