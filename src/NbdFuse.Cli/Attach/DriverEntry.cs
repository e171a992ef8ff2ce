using NbdFuse.Attach;

namespace NbdFuse.Cli;

/// <summary>A driver as the commands know it.</summary>
/// <param name="Kind">Its devices, for a process that does not serve them.</param>
/// <param name="IsAutomatic">Whether <c>--driver auto</c> may choose it.</param>
/// <param name="WhyUnusable">Tells why this machine cannot use it, with the remedy, in one line; null when it can. Costs little.</param>
/// <param name="Create">Makes a driver for one device; nothing is touched yet.</param>
internal sealed record DriverEntry(
    DeviceKind Kind, bool IsAutomatic, Func<string?> WhyUnusable, Func<DriverContext, IDeviceDriver> Create)
{
    /// <summary>Its name, as --driver takes it.</summary>
    public string Name => Kind.Driver;
}
