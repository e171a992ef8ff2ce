using NbdFuse.Attach;

namespace NbdFuse.Cli;

/// <summary>The words of attach by which a device was made, for going on with it.</summary>
internal static class RecoveryWords
{
    /// <summary>The option.</summary>
    public const string Option = "--recover";

    /// <summary>Finds the words that the dead process of a device has left.</summary>
    /// <param name="device">Path of the device.</param>
    /// <returns>Words for attach, with the option.</returns>
    /// <exception cref="AttachException">There are none, or the process is alive.</exception>
    public static IReadOnlyList<string> Find(string device)
    {
        if (DeviceDrivers.Devices.Find(device) is not var (_, state))
        {
            throw new AttachException(
                $"{device}: nothing is known of how it was attached; give the URI as well: nbdfuse attach {Option} {device} URI");
        }

        if (AttachEntry.IsAlive(state))
        {
            throw new AttachException($"{device}: process {state.Pid} still serves it; end that process first");
        }

        return state is { Driver: UblkKind.Name, Words: { } words }
            ? Compose(device, words)
            : throw new AttachException($"{device}: the driver {state.Driver} cannot go on with a device; detach it and attach it again");
    }

    /// <summary>Takes out what belonged to that one start, and puts the option in.</summary>
    /// <param name="device">Path of the device.</param>
    /// <param name="words">Words of attach.</param>
    internal static IReadOnlyList<string> Compose(string device, IReadOnlyList<string> words)
    {
        List<string> result = [Option, device];
        for (int i = 0; i < words.Count; i++)
        {
            string name = words[i].Split('=')[0];
            if (name is Option or AttachCommand.EntryOption or AttachCommand.KeptOption)
            {
                i += words[i].Contains('=') ? 0 : 1;
            }
            else if (name != AttachCommand.PreparedOption)
            {
                result.Add(words[i]);
            }
        }

        return result;
    }
}
