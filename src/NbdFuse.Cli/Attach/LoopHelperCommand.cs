using System.Globalization;
using NbdFuse.Attach;
using NbdFuse.Native;

namespace NbdFuse.Cli;

/// <summary>The helper process of <see cref="LoopHelper"/>: one line on standard output, fields separated by tabs.</summary>
internal static class LoopHelperCommand
{
    private const int StandardOutput = 1;

    /// <summary>Word of the helper: attach FILE NAME DEVICE|- ro|rw BLOCK-SIZE; 0 chooses. Answers DEVICE SIZE BLOCK-SIZE PARTITION...</summary>
    public const string Attach = "attach";

    /// <summary>Word of the helper: detach DEVICE NAME force|-.</summary>
    public const string Detach = "detach";

    /// <summary>Word of the helper: discard NAME. Takes down, by force, the device with that name if there is one.</summary>
    public const string Discard = "discard";

    /// <summary>Word of the helper: partitions DEVICE. For devices that exist already. Answers PARTITION...</summary>
    public const string Partitions = "partitions";

    /// <summary>Word of the helper: release DEVICE force|-. Checks who uses the device, flushes, removes its partitions. Answers HOLDER...</summary>
    public const string Release = "release";

    /// <summary>Runs.</summary>
    /// <param name="words">The words after the verb.</param>
    /// <returns>The exit code.</returns>
    public static int Run(IReadOnlyList<string> words)
    {
        string answer;
        string? attached = null;
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
                    },
                    out attached),
                [Detach, var device, var name, var force] => Holders(
                    LoopOperations.TakeDown(device, name, force == "force", flush: true)),
                [Discard, var name] => Holders(
                    LoopDevice.Find(name) is { } device ? LoopOperations.TakeDown(device, name, force: true, flush: false) : []),
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

        // By descriptor: a console swallows that nobody reads any more.
        using FileDescriptor pipe = FileDescriptor.Own(StandardOutput);
        if (!PipeText.Write(pipe, answer + "\n") && attached is not null)
        {
            // The daemon died meanwhile, and whoever cleaned up after it saw no device yet.
            LoopOperations.TakeDown(attached, words[2], force: true, flush: false);
            return MountCommand.Failed;
        }

        return 0;
    }

    private static string AttachDevice(string file, LoopAttachOptions options, out string device)
    {
        LoopAttachment attached = LoopOperations.Attach(file, options);
        device = attached.Device;
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
