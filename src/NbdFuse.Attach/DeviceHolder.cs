namespace NbdFuse.Attach;

/// <summary>Somebody who uses a device.</summary>
/// <param name="Kind">How.</param>
/// <param name="Device">The device or partition that is used.</param>
/// <param name="What">The mountpoint, the device on top, or the process with its name.</param>
public sealed record DeviceHolder(DeviceHolderKind Kind, string Device, string What)
{
    /// <inheritdoc/>
    public override string ToString() => Kind switch
    {
        DeviceHolderKind.Mount => $"{Device} is mounted at {What}",
        DeviceHolderKind.Swap => $"{Device} is used for swap",
        DeviceHolderKind.Device => $"{What} stands on {Device}",
        _ => $"{Device} is open in {What}",
    };
}
