using System.CommandLine;
using Microsoft.Extensions.Logging;
using NbdFuse.Protocol;

namespace NbdFuse.Cli;

/// <summary>The verb <c>map</c>.</summary>
internal static class MapVerb
{
    // Enough for one write per some hundred lines; the rest leaves when the map ends.
    private const int BufferChars = 16 * 1024;

    /// <summary>Makes the command.</summary>
    /// <param name="uri">The argument that names the export.</param>
    /// <param name="json">The option for JSON.</param>
    /// <param name="shared">Options that all verbs have.</param>
    /// <param name="loggers">Makes the log of an invocation.</param>
    /// <param name="output">Standard output.</param>
    public static Command Create(
        Argument<NbdUri> uri, Option<bool> json, IEnumerable<Option> shared, Func<ParseResult, ILoggerFactory> loggers, TextWriter output)
    {
        var context = new Option<string>("--context")
        {
            Description = "Metadata context to show (default: base:allocation, holes and zeroes); 'info' lists those of a server",
            HelpName = "NAME",
            DefaultValueFactory = _ => NbdMetaContextNames.BaseAllocation,
        };
        var totals = new Option<bool>("--totals", "--total") { Description = "Print the sum of each kind instead of the extents" };
        var command = new Command("map", "Show which parts of an export are data, holes or zeroes, as nbdinfo --map does")
        {
            uri, json, context, totals,
        };
        foreach (Option option in shared)
        {
            command.Options.Add(option);
        }

        command.SetAction(async (result, cancellationToken) =>
        {
            using ILoggerFactory factory = loggers(result);
            NbdUri server = result.GetRequiredValue(uri);
            string name = result.GetValue(context)!;
            using var text = new BufferedOutput(output, BufferChars);
            var report = new MapReport(name, result.GetValue(json), text);
            bool sums = result.GetValue(totals);

            // Nothing is printed before the server has agreed: an error is the one line on standard error then.
            long size = await ServerQuery.MapAsync(
                server, name, sums ? report.Count : report.Print, factory.CreateLogger("nbd"), cancellationToken).ConfigureAwait(false);
            if (sums)
            {
                report.PrintTotals(size);
            }
            else
            {
                report.End();
            }

            return 0;
        });
        return command;
    }
}
