using System.Globalization;

namespace NbdFuse.Attach.KernelNbd;

/// <summary>What is written down of a device of the kernel's nbd driver (<see cref="AttachState.DriverNote"/>).</summary>
/// <param name="Owner">Thread that made the device, as the kernel shows it; 0 when it is not known.</param>
/// <param name="IsIoctl">The device was made by ioctl.</param>
/// <param name="IsSupervised">A process of ours replaces lost connections.</param>
public sealed record KernelNbdNote(int Owner, bool IsIoctl, bool IsSupervised)
{
    private const string Ioctl = "ioctl";
    private const string Netlink = "netlink";
    private const string Supervised = "supervised";
    private const string Alone = "alone";

    /// <summary>Reads a note; one that makes no sense knows nothing.</summary>
    /// <param name="text">The note, or null.</param>
    public static KernelNbdNote Parse(string? text)
    {
        string[] words = (text ?? string.Empty).Split(' ');
        return words.Length == 3 && int.TryParse(words[0], NumberStyles.None, CultureInfo.InvariantCulture, out int owner)
            ? new KernelNbdNote(owner, words[1] == Ioctl, words[2] == Supervised)
            : new KernelNbdNote(0, false, false);
    }

    /// <inheritdoc/>
    public override string ToString() =>
        string.Create(CultureInfo.InvariantCulture, $"{Owner} {(IsIoctl ? Ioctl : Netlink)} {(IsSupervised ? Supervised : Alone)}");
}
