using Microsoft.Extensions.Logging;
using NbdFuse.Fuse;

namespace NbdFuse.Cli;

/// <summary>The <c>nbdfuse</c> command.</summary>
internal static class Program
{
    // Not in a test, whose process has more to hold than this command.
    private static bool _isProcess;

    /// <summary>Entry point.</summary>
    /// <param name="args">The command line.</param>
    /// <returns>The exit code.</returns>
    private static Task<int> Main(string[] args)
    {
        _isProcess = true;
        return RunAsync(args, Console.Out, Console.Error);
    }

    /// <summary>Runs a command line.</summary>
    /// <param name="args">The command line, without the program's name.</param>
    /// <param name="output">Standard output.</param>
    /// <param name="error">Standard error.</param>
    /// <returns>The exit code.</returns>
    internal static async Task<int> RunAsync(IReadOnlyList<string> args, TextWriter output, TextWriter error)
    {
        NbdfuseArguments? arguments = null;
        try
        {
            if (args.Count > 0 && Array.IndexOf(VerbCommands.Names, args[0]) >= 0)
            {
                return await new VerbCommands(output, error).RunAsync(args).ConfigureAwait(false);
            }

            switch (args.Count > 0 ? args[0] : null)
            {
                case KeeperCommand.Verb:
                    return KeeperCommand.Run([.. args.Skip(1)]);
                case AttachKeeperCommand.Verb:
                    return AttachKeeperCommand.Run([.. args.Skip(1)]);
                case AttachKeeperCommand.ForegroundVerb:
                    return AttachKeeperCommand.RunInForeground([.. args.Skip(1)], output);
                case WorkerCommand.Verb:
                    return await WorkerCommand.RunAsync([.. args.Skip(1)], error).ConfigureAwait(false);
            }

            arguments = NbdfuseArgumentParser.Parse(args);
            if (arguments.Keeper)
            {
                KeeperCommand.Become(args, arguments);
            }

            return await RunAsync(arguments, output, error).ConfigureAwait(false);
        }
        catch (UsageException e)
        {
            await error.WriteAsync(e.Message.Length > 0
                ? ErrorText.ForStandardError($"{ErrorText.Program}: {e.Message}\n", ErrorText.FatalLevel)
                : string.Empty).ConfigureAwait(false);
            await error.WriteAsync(e.ShowUsage ? HelpTexts.Usage : string.Empty).ConfigureAwait(false);
            return MountCommand.Failed;
        }
        catch (Exception e)
        {
            // The last resort of the whole process: whatever it is, the user gets one line and the exit code of a failure.
            string lines = ErrorText.Describe(e, arguments?.Debug ?? args.Contains("--debug"));
            await error.WriteAsync(ErrorText.ForStandardError(lines, ErrorText.FatalLevel)).ConfigureAwait(false);
            return MountCommand.Failed;
        }
    }

    private static async Task<int> RunAsync(NbdfuseArguments arguments, TextWriter output, TextWriter error)
    {
        if (arguments.Action == NbdfuseAction.Mount)
        {
            if (_isProcess)
            {
                InheritedDescriptors.Close(arguments.Target);
            }

            LogVerbosity verbosity = arguments.Verbose ? LogVerbosity.Verbose : arguments.Quiet ? LogVerbosity.Quiet : LogVerbosity.Normal;
            using ILoggerFactory loggers = CommandLogging.Create(new CommandLogOptions(verbosity, arguments.Debug));
            return await MountCommand.RunAsync(arguments, loggers, error).ConfigureAwait(false);
        }

        await output.WriteAsync(arguments.Action switch
        {
            NbdfuseAction.Help => HelpTexts.Usage,
            NbdfuseAction.FuseHelp => FuseMountOptionParser.Help,
            NbdfuseAction.Version => HelpTexts.Version,
            NbdfuseAction.LongOptions => HelpTexts.LongOptions,
            _ => HelpTexts.ShortOptions,
        }).ConfigureAwait(false);
        return 0;
    }
}
