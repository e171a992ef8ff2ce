using NbdFuse.Block;

namespace NbdFuse.Ublk;

/// <summary>What the kernel asks of the device, in the terms of a block request.</summary>
/// <param name="Operation">What is asked.</param>
/// <param name="Flags">Modifiers.</param>
/// <param name="Offset">First byte.</param>
/// <param name="Length">Bytes; 0 for Flush.</param>
internal readonly record struct UblkDemand(BlockOperation Operation, BlockRequestFlags Flags, long Offset, long Length);
