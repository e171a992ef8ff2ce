using System.Globalization;
using NbdFuse.Client;
using NbdFuse.Native;

namespace NbdFuse.Cli;

/// <summary>
/// Descriptors that came from whoever started this process, and that nobody meant for it: a process that stays must not keep pipes,
/// locks and file systems of others busy.
/// </summary>
internal static class InheritedDescriptors
{
    private const int StandardError = 2;

    /// <summary>Closes them. Early, while this process itself has opened nothing that is kept across exec.</summary>
    /// <param name="target">What is connected to: its descriptor was meant.</param>
    public static void Close(NbdTarget? target)
    {
        int passed = target is DescriptorTarget descriptor ? descriptor.Fd : -1;
        foreach (string path in Directory.GetFileSystemEntries("/proc/self/fd"))
        {
            // The runtime's own are closed on exec, as ours; what was inherited is not.
            if (int.TryParse(Path.GetFileName(path), NumberStyles.None, CultureInfo.InvariantCulture, out int fd)
                && fd > StandardError && fd != passed && Posix.GetCloseOnExec(fd) == 0)
            {
                FileDescriptor.Own(fd).Dispose();
            }
        }
    }
}
