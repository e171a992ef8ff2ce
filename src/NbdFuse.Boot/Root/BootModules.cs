namespace NbdFuse.Boot;

/// <summary>Loads the kernel's drivers, in the initramfs.</summary>
public static class BootModules
{
    /// <summary>Loads the modules of drivers; those that are built in, or missing, are left out.</summary>
    /// <param name="drivers">Names of <see cref="BootArguments.Drivers"/>.</param>
    public static void Load(IReadOnlyList<string> drivers)
    {
        // By one process: each takes its time on a slow machine.
        Busybox.LoadModules([.. drivers.SelectMany(ModuleNames.OfDriver)]);
    }
}
