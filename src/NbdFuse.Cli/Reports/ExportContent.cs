using Microsoft.Extensions.Logging;
using NbdFuse.Boot;
using NbdFuse.Client;
using NbdFuse.Native;
using NbdFuse.Protocol;

namespace NbdFuse.Cli;

/// <summary>What file(1) makes of the first bytes of an export, as nbdinfo shows it.</summary>
internal static class ExportContent
{
    private const int Bytes = 64 * 1024;

    // file reads a few KiB of memory and ends; whatever takes longer is not worth waiting for.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    /// <summary>Looks at the first bytes.</summary>
    /// <param name="target">The server.</param>
    /// <param name="exportName">The export.</param>
    /// <param name="logger">Where a failure is told.</param>
    /// <param name="cancellationToken">Ends the attempt.</param>
    /// <returns>One line without control characters, or null when the export can't be read or there is no file(1).</returns>
    public static async Task<string?> IdentifyAsync(NbdTarget target, string exportName, ILogger logger, CancellationToken cancellationToken)
    {
        // A file of our own, which nobody else can open: the content of an export is the business of its user only.
        string path = Path.Combine(Path.GetTempPath(), $"nbdfuse-{Guid.NewGuid():n}");
        try
        {
            byte[] start = await NbdQuery
                .ReadStartAsync(target, exportName, Bytes, logger: logger, cancellationToken: cancellationToken).ConfigureAwait(false);
            using (FileDescriptor file = FileDescriptor.OwnOrThrow(
                Posix.Open(path, OpenFlags.Create | OpenFlags.Exclusive | OpenFlags.WriteOnly | OpenFlags.CloseOnExec, 0x180), path))
            {
                // A local file takes it in one piece, or is full.
                if (start.Length > 0 && Posix.Write(file.Value, start) != start.Length)
                {
                    return null;
                }
            }

            ProgramOutput output = ProgramOutput.Run(Patience, "file", "-b", path);
            string text = NbdText.Sanitize(output.Content, NbdLimits.MaxStringBytes);
            return output.ExitCode == 0 && text.Length > 0 ? text : null;
        }
        catch (Exception e) when (e is NbdException or PosixException or IOException)
        {
            CommandLog.NoContent(logger, e.Message);
            return null;
        }
        finally
        {
            File.Delete(path);
        }
    }
}
