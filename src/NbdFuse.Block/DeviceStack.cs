using NbdFuse.Block.Layers;

namespace NbdFuse.Block;

/// <summary>Puts the stateless layers over a device, in the one order that works.</summary>
public static class DeviceStack
{
    /// <summary>
    /// Builds ordering, capability, alignment and split over a device, leaving out what the device does not need.
    /// </summary>
    /// <param name="device">The export or another device with limits.</param>
    /// <param name="ready">Ready list of the loop.</param>
    /// <param name="capacity">Number of slots of the queue above.</param>
    /// <param name="checkContract">Put a <see cref="ContractCheckLayer"/> over the device and over every layer.</param>
    /// <returns>A device that takes any range, any length, FLUSH and FUA.</returns>
    public static IBlockDevice Build(IBlockDevice device, ReadyList ready, int capacity, bool checkContract = false)
    {
        int block = device.Info.MinimumBlock;
        IBlockDevice top = Check(device, checkContract);
        top = Check(new SplitLayer(top, ready), checkContract);
        if (block > 1)
        {
            top = Check(new AlignmentLayer(top, ready), checkContract);
        }

        top = new CapabilityLayer(top, ready);

        // Nothing checks what goes into a read-only stack: it answers writes by EROFS, they are no mistake of the front end.
        return device.Info.IsReadOnly
            ? top
            : Check(new OrderingLayer(Check(top, checkContract), capacity, block), checkContract);
    }

    private static IBlockDevice Check(IBlockDevice device, bool check) =>
        check ? new ContractCheckLayer(device) : device;
}
