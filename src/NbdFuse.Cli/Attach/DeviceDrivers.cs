using Microsoft.Extensions.Logging;
using NbdFuse.Attach;
using NbdFuse.Attach.KernelNbd;

namespace NbdFuse.Cli;

/// <summary>The drivers of this program.</summary>
internal static class DeviceDrivers
{
    /// <summary>Lets us choose.</summary>
    public const string Automatic = "auto";

    /// <summary>All of them, the best first: the order in which <see cref="Automatic"/> tries them.</summary>
    public static readonly IReadOnlyList<DriverEntry> All =
    [
        new DriverEntry(new UblkKind(), IsAutomatic: true, UblkDriver.WhyUnusable, context => new UblkDriver(context)),
        new DriverEntry(new LoopKind(), IsAutomatic: true, LoopDriver.WhyUnusable, context => new LoopDriver(context)),
        new DriverEntry(new KernelNbdKind(), IsAutomatic: false, NbdDriver.WhyUnusable, context => new NbdDriver(context)),
    ];

    /// <summary>What is attached, by any driver, and what is mounted as a file.</summary>
    public static AttachedDevices Devices { get; } = new([.. All.Select(driver => driver.Kind), new FileKind()]);

    /// <summary>Names for --driver.</summary>
    public static IReadOnlyList<string> Names { get; } = [Automatic, .. All.Select(driver => driver.Name)];

    /// <summary>Chooses a driver, and says why in the log.</summary>
    /// <param name="name">One of <see cref="Names"/>.</param>
    /// <param name="device">The device that the user wants, or null for any.</param>
    /// <param name="logger">The log.</param>
    /// <param name="refused">Drivers that have been tried, with what they said; null for none.</param>
    /// <exception cref="AttachException">This machine cannot use it, or none at all.</exception>
    public static DriverEntry Choose(
        string name, string? device, ILogger logger, IReadOnlyDictionary<string, string>? refused = null)
    {
        if (name != Automatic)
        {
            DriverEntry named = All.First(driver => driver.Name == name);
            return named.WhyUnusable() is { } missing
                ? throw new AttachException($"the driver {name} cannot be used here: {missing}")
                : Chosen(logger, named, "it was asked for");
        }

        List<string> reasons = [];
        foreach (DriverEntry driver in All.Where(driver => driver.IsAutomatic))
        {
            string? reason = refused?.GetValueOrDefault(driver.Name) is { } said ? said
                : device is not null && !driver.Kind.IsPath(device)
                ? $"{device} is none of its devices"
                : driver.WhyUnusable();
            if (reason is null)
            {
                return Chosen(logger, driver, reasons.Count == 0 ? "it is the best one" : string.Join("; ", reasons));
            }

            reasons.Add($"{driver.Name}: {reason}");
        }

        throw new AttachException($"no driver can be used here: {string.Join("; ", reasons)}");
    }

    private static DriverEntry Chosen(ILogger logger, DriverEntry driver, string reason)
    {
        AttachLog.DriverChosen(logger, driver.Name, reason);
        return driver;
    }
}
