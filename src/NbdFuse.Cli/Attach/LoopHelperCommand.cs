using System.Globalization;
using NbdFuse.Attach;
using NbdFuse.Native;

namespace NbdFuse.Cli;

/// <summary>The helper process of <see cref="LoopHelper"/>: one line on standard output, fields separated by tabs.</summary>
internal static class LoopHelperCommand
{
    private const int StandardInput = 0;
    private const int StandardOutput = 1;

    /// <summary>Word of the helper: attach FILE NAME DEVICE|- ro|rw BLOCK-SIZE; 0 chooses. Answers DEVICE SIZE BLOCK-SIZE PARTITION...</summary>
    public const string Attach = "attach";

    /// <summary>Word of the helper: detach DEVICE NAME force|-.</summary>
    public const string Detach = "detach";

    /// <summary>Word of the helper: partitions DEVICE. For devices that exist already. Answers PARTITION...</summary>
    public const string Partitions = "partitions";

    /// <summary>Word of the helper: release DEVICE force|-. Checks who uses the device, flushes, removes its partitions. Answers HOLDER...</summary>
    public const string Release = "release";

    /// <summary>
    /// Word of the helper: hold DEVICE. As release without force, and keeps the device to itself until its standard input ends.
    /// </summary>
    public const string Hold = "hold";

    /// <summary>Word of the helper: claim DEVICE. As hold, without flushing or touching the partitions: for a device that nobody serves.</summary>
    public const string Claim = "claim";

    /// <summary>Word of the helper: detach-named NAME. By force, whatever device carries the name; none is fine.</summary>
    public const string DetachNamed = "detach-named";

    /// <summary>Word of the helper: grow DEVICE NAME SIZE. The file has grown to so many bytes. Answers the device's SIZE.</summary>
    public const string Grow = "grow";

    /// <summary>Word of the helper: unmount MOUNTPOINT. May wait for the device for ever.</summary>
    public const string Unmount = "unmount";

    /// <summary>Runs.</summary>
    /// <param name="words">The words after the verb.</param>
    /// <returns>The exit code.</returns>
    public static int Run(IReadOnlyList<string> words)
    {
        string answer;
        string? attached = null;
        FileDescriptor? claim = null;
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
                [Partitions, var device] => string.Join('\t', PartitionNodes.Create(device).Prepend(LoopHelper.Done)),
                [Release, var device, var force] => Holders(ReleaseNow(device, force == "force")),
                [Hold, var device] => Holders(DeviceRelease.Release(device, force: false, flush: true, out claim)),
                [Claim, var device] => Claimed(claim = DeviceRelease.Claim(device)),
                [DetachNamed, var name] => Holders(
                    LoopDevice.Find(name) is { } found ? LoopOperations.TakeDown(found, name, force: true, flush: false) : []),
                [Grow, var device, var name, var size] => string.Create(
                    CultureInfo.InvariantCulture, $"{LoopHelper.Done}\t{LoopDevice.Grow(device, name, long.Parse(size, CultureInfo.InvariantCulture))}"),
                [Unmount, var path] => Unmounted(path),
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

        using (claim)
        {
            bool heard;

            // By descriptor: a console swallows that nobody reads any more.
            using (FileDescriptor pipe = FileDescriptor.Own(StandardOutput))
            {
                heard = PipeText.Write(pipe, answer + "\n");
            }

            if (!heard && attached is not null)
            {
                // The daemon died meanwhile, and whoever cleaned up after it saw no device yet.
                LoopOperations.TakeDown(attached, words[2], force: true, flush: false);
                return MountCommand.Failed;
            }

            if (claim is not null)
            {
                // Until the driver has ended the device, or the process that asked is gone.
                using FileDescriptor input = FileDescriptor.Own(StandardInput);
                PipeText.Read(input, 1);
            }

            return 0;
        }
    }

    private static IReadOnlyList<DeviceHolder> ReleaseNow(string device, bool force)
    {
        IReadOnlyList<DeviceHolder> holders = DeviceRelease.Release(device, force, flush: true, out FileDescriptor? claim);
        claim?.Dispose();
        return holders;
    }

    private static string Claimed(FileDescriptor? claim) => claim is null ? LoopHelper.Done : $"{LoopHelper.Done}\tclaimed";

    private static string Unmounted(string path)
    {
        int result = Posix.Umount2(path, Posix.UnmountNoFollow);
        return result >= 0 ? LoopHelper.Done
            : result == -Errno.EBUSY ? $"{LoopHelper.Busy}\t{ErrorText.OneLine(path)} is in use; close what uses it ('fuser -vm {ErrorText.OneLine(path)}' tells)"
            : throw new AttachException($"{path}: cannot unmount: {Errno.Describe(result)}");
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
