using NbdFuse.Block;
using NbdFuse.Native.Ublk;

namespace NbdFuse.Ublk;

/// <summary>What has to hold before a new process may serve the device of a dead one. Pure.</summary>
internal static class UblkRecovery
{
    // A limit before an allocation: the kernel's numbers come from whoever made the device.
    private const long MaximumMemory = 256L << 20;

    /// <summary>Checks a device against the export that is to stand behind it from now on, and takes its geometry over.</summary>
    /// <param name="info">The device.</param>
    /// <param name="parameters">Its parameters.</param>
    /// <param name="export">The export itself.</param>
    /// <param name="queueCapacity">Slots of the queue; one of them is kept for a FLUSH of our own.</param>
    /// <exception cref="UblkException">They do not fit. Nothing has been changed.</exception>
    internal static UblkGeometry Check(in UblkDeviceInfo info, in UblkParams parameters, BlockDeviceInfo export, int queueCapacity)
    {
        uint id = info.DeviceId;
        if (info.ServerFlags != UblkGeometry.ServerMark || info.Queues != 1)
        {
            throw Refuse(id, "it was not made by nbdfuse", "let the program that made it recover it");
        }

        if ((info.Flags & UblkFeatures.UserRecovery) == 0)
        {
            throw Refuse(id, "it was made without recovery", "detach it and attach it again");
        }

        UblkBasicParams basic = parameters.Basic;
        if ((parameters.Types & UblkParamTypes.Basic) == 0 || basic.LogicalBlockShift is < 9 or > 12)
        {
            throw Refuse(id, "it has no parameters", "it was never started: detach it and attach it again");
        }

        int logical = 1 << basic.LogicalBlockShift;
        long size = (long)Math.Min(basic.DeviceSectors, long.MaxValue / UblkConstants.SectorBytes) * UblkConstants.SectorBytes;
        long exported = export.Size / logical * logical;
        if (size != exported)
        {
            throw Refuse(
                id,
                $"it has {size} bytes, and the export offers {exported}",
                "this is another export, or it has changed: give the one that the device was attached to");
        }

        if ((basic.Attributes & UblkAttributes.ReadOnly) == 0 && export.IsReadOnly)
        {
            throw Refuse(id, "it is writable, and the export is read-only", "make the export writable on the server");
        }

        if (export.MinimumBlock > 1 << basic.PhysicalBlockShift)
        {
            throw Refuse(
                id,
                $"it was made for blocks of {1 << basic.PhysicalBlockShift} bytes, and the export demands {export.MinimumBlock}",
                "this is another export, or the server's settings have changed");
        }

        CheckCapabilities(id, parameters, export);
        return Adopt(info, parameters, export, queueCapacity);
    }

    private static void CheckCapabilities(uint id, in UblkParams parameters, BlockDeviceInfo export)
    {
        const string Remedy = "this is another export, or the server's settings have changed";
        if ((parameters.Basic.Attributes & UblkAttributes.VolatileCache) != 0 && !export.CanFlush)
        {
            // FLUSH would be answered without being done, for writes that the old process acknowledged.
            throw Refuse(id, "it was made for an export that can flush, and this one can't", Remedy);
        }

        if ((parameters.Types & UblkParamTypes.Discard) == 0)
        {
            return;
        }

        if (parameters.Discard.MaximumWriteZeroesSectors != 0 && !export.CanWriteZeroes)
        {
            throw Refuse(id, "it was made for an export that can write zeroes, and this one can't", Remedy);
        }

        if (parameters.Discard.MaximumDiscardSectors != 0 && !export.CanTrim && !export.CanWriteZeroes)
        {
            throw Refuse(id, "it was made for an export that can discard, and this one can't", Remedy);
        }
    }

    private static UblkGeometry Adopt(in UblkDeviceInfo info, in UblkParams parameters, BlockDeviceInfo export, int queueCapacity)
    {
        long memory = (long)info.Depth * info.MaximumIo;
        if (info.Depth is 0 or > UblkConstants.MaximumDepth || info.MaximumIo == 0 || memory > MaximumMemory)
        {
            throw Refuse(
                info.DeviceId,
                $"it needs {info.Depth} buffers of {info.MaximumIo} bytes, more than {MaximumMemory >> 20} MiB",
                "detach it and attach it again");
        }

        if (info.Depth >= queueCapacity)
        {
            throw Refuse(
                info.DeviceId,
                $"its {info.Depth} requests do not fit the queue of {queueCapacity}",
                "detach it and attach it again");
        }

        return new UblkGeometry
        {
            Depth = info.Depth,
            Params = parameters,
            Limits = new UblkLimits
            {
                Sectors = (long)parameters.Basic.DeviceSectors,
                PayloadBytes = (int)info.MaximumIo,
                IsReadOnly = (parameters.Basic.Attributes & UblkAttributes.ReadOnly) != 0,
                DiscardIsTrim = export.CanTrim,
            },
            TailBytes = (int)(export.Size % (1 << parameters.Basic.LogicalBlockShift)),
        };
    }

    private static UblkException Refuse(uint id, string reason, string remedy) =>
        new($"/dev/ublkb{id} cannot be recovered: {reason}; {remedy}");
}
