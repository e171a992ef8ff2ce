using NbdFuse.Native.Block;

namespace NbdFuse.Attach;

/// <summary>What a loop device stands on.</summary>
/// <param name="Name">Name that was given to the device, see <see cref="LoopAttachOptions.Name"/>.</param>
/// <param name="Flags">Settings that hold.</param>
public sealed record LoopStatus(string Name, LoopFlags Flags);
