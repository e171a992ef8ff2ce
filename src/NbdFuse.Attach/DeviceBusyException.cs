namespace NbdFuse.Attach;

/// <summary>A device is in use, so that nothing was done to it.</summary>
/// <param name="device">Path of the device.</param>
/// <param name="holders">Who uses it, for the message; may be empty when nobody could be found.</param>
public sealed class DeviceBusyException(string device, IReadOnlyList<DeviceHolder> holders)
    : AttachException($"{device} is in use: {Describe(holders)}")
{
    private const int Shown = 4;

    private static string Describe(IReadOnlyList<DeviceHolder> holders) => holders.Count switch
    {
        0 => "by something that this process cannot see",
        <= Shown => string.Join(", ", holders),
        _ => $"{string.Join(", ", holders.Take(Shown))} and {holders.Count - Shown} more",
    };
}
