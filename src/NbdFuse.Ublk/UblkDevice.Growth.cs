using NbdFuse.Native;
using NbdFuse.Native.Ublk;

namespace NbdFuse.Ublk;

/// <content>An export that has grown under the disk.</content>
public sealed partial class UblkDevice
{
    /// <summary>
    /// Lets the disk grow with its export, in whole logical blocks. The queue takes the new size already
    /// (<see cref="Block.RequestQueue.AdoptSize"/>).
    /// </summary>
    /// <param name="size">Usable bytes of the export.</param>
    /// <returns>Null when it was done; why not, in one clause.</returns>
    public async Task<string?> GrowAsync(long size)
    {
        long usable = size - (size % LogicalBlock);
        if (usable <= Size)
        {
            return null;
        }

        int result = await Blocking(
            () => _control.UpdateSize(_info.DeviceId, (ulong)usable / UblkConstants.SectorBytes)).ConfigureAwait(false);
        switch (result)
        {
            case >= 0:
                Interlocked.Exchange(ref _grown, usable);
                return null;
            case -Errno.EOPNOTSUPP:
                return "this kernel's ublk driver cannot change the size of a device (Linux 6.16 can)";
            default:
                return $"the kernel does not take the new size: {Errno.Describe(result)}";
        }
    }
}
