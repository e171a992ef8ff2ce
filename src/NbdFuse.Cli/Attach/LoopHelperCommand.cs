using System.Globalization;
using NbdFuse.Attach;

namespace NbdFuse.Cli;

/// <summary>The helper process of <see cref="LoopHelper"/>: one line on standard output, fields separated by tabs.</summary>
internal static class LoopHelperCommand
{
    /// <summary>Word of the helper: attach FILE NAME DEVICE|- ro|rw BLOCK-SIZE; 0 chooses. Answers DEVICE SIZE BLOCK-SIZE PARTITION...</summary>
    public const string Attach = "attach";

    /// <summary>Word of the helper: detach DEVICE NAME force|-.</summary>
    public const string Detach = "detach";

    /// <summary>Word of the helper: partitions DEVICE. For devices that exist already. Answers PARTITION...</summary>
    public const string Partitions = "partitions";

    /// <summary>Word of the helper: release DEVICE force|-. Checks who uses the device, flushes, removes its partitions. Answers HOLDER...</summary>
    public const string Release = "release";

    /// <summary>Runs.</summary>
    /// <param name="words">The words after the verb.</param>
    /// <param name="output">Standard output.</param>
    /// <returns>The exit code.</returns>
    public static async Task<int> RunAsync(IReadOnlyList<string> words, TextWriter output)
    {
        string answer;
        try
        {
            answer = words switch
            {
                [Attach, var file, var name, var device, var access, var block] => AttachDevice(
                    file,
                    new LoopAttachOptions
                    {
                        Device = device == "-" ? null : device,
                        Name = name,
                        ReadOnly = access == "ro",
                        BlockSize = int.Parse(block, CultureInfo.InvariantCulture),
                    }),
                [Detach, var device, var name, var force] => Holders(
                    LoopOperations.TakeDown(device, name, force == "force", flush: true)),
                [Partitions, var device] => string.Join('\t', PartitionNodes.Create(device).Prepend(LoopHelper.Done)),
                [Release, var device, var force] => Holders(DeviceRelease.Release(device, force == "force", flush: true)),
                _ => throw new UsageException($"{LoopHelper.Verb} is not for users", showUsage: false),
            };
        }
        catch (DeviceBusyException e)
        {
            answer = $"{LoopHelper.Busy}\t{ErrorText.OneLine(e.Message)}";
        }
        catch (IOException e)
        {
            answer = $"{LoopHelper.Error}\t{ErrorText.OneLine(e.Message)}";
        }

        await output.WriteAsync(answer + "\n").ConfigureAwait(false);
        await output.FlushAsync().ConfigureAwait(false);
        return 0;
    }

    private static string AttachDevice(string file, LoopAttachOptions options)
    {
        LoopAttachment attached = LoopOperations.Attach(file, options);
        return string.Join(
            '\t',
            [
                LoopHelper.Done,
                attached.Device,
                attached.Size.ToString(CultureInfo.InvariantCulture),
                attached.BlockSize.ToString(CultureInfo.InvariantCulture),
                .. attached.Partitions,
            ]);
    }

    private static string Holders(IReadOnlyList<DeviceHolder> holders) =>
        string.Join('\t', holders.Select(holder => ErrorText.OneLine(holder.ToString())).Prepend(LoopHelper.Done));
}
