namespace NbdFuse.Attach.Partitions;

/// <summary>Reads a device.</summary>
/// <param name="offset">First byte, inside the device.</param>
/// <param name="buffer">What to fill.</param>
/// <returns>False when it could not be filled.</returns>
public delegate bool DeviceRead(long offset, Span<byte> buffer);
