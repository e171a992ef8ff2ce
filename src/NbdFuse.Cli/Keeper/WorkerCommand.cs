using Microsoft.Extensions.Logging;
using NbdFuse.Native;

namespace NbdFuse.Cli;

/// <summary>The process that serves a file under a keeper.</summary>
internal static class WorkerCommand
{
    /// <summary>The hidden verb.</summary>
    public const string Verb = "__worker";

    /// <summary>
    /// Most bytes of a request: every buffer has all of its pages from the start, so that larger ones would cost memory that
    /// nobody needs.
    /// </summary>
    public const int LargestRequest = 256 * 1024;

    /// <summary>Runs.</summary>
    /// <param name="words">The command line, without the verb.</param>
    /// <param name="error">Standard error.</param>
    /// <returns>Exit code.</returns>
    public static async Task<int> RunAsync(string[] words, TextWriter error)
    {
        NbdfuseArguments arguments = NbdfuseArgumentParser.Parse(words);
        using KeeperLink link = KeeperLink.Open(arguments.PidFile);

        // A dump would put the death, and so the next process, off. 1 rather than 0 also for kernels that pipe dumps.
        _ = Posix.SetLimit(Posix.LimitCore, 1);
        LogVerbosity verbosity = arguments.Verbose ? LogVerbosity.Verbose : arguments.Quiet ? LogVerbosity.Quiet : LogVerbosity.Normal;
        using ILoggerFactory loggers = CommandLogging.Create(new CommandLogOptions(verbosity, arguments.Debug));
        try
        {
            int code = await MountCommand.RunAsync(arguments, loggers, error, link).ConfigureAwait(false);
            link.End(code);
            return code;
        }
        catch (Exception e)
        {
            link.End(e);
            string lines = ErrorText.Describe(e, arguments.Debug);
            await error.WriteAsync(ErrorText.ForStandardError(lines, ErrorText.FatalLevel)).ConfigureAwait(false);
            return MountCommand.Failed;
        }
    }
}
