using NbdFuse.Block;

namespace NbdFuse.MountTests;

/// <summary>A device that ends nothing, as a silent server; it tells when it has been asked to read.</summary>
internal sealed class HoldingDevice : IBlockDevice
{
    private readonly TaskCompletionSource _asked = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public BlockDeviceInfo Info { get; } = new() { Size = MountedMemory.Size };

    public Task Asked => _asked.Task;

    public void Submit(BlockRequest request) => _asked.TrySetResult();

    public void EndTurn()
    {
    }
}
