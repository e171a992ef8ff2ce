namespace NbdFuse.Boot;

/// <summary>Loads the kernel's drivers, in the initramfs.</summary>
public static class BootModules
{
    /// <summary>Loads the modules of drivers; those that are built in, or missing, are left out.</summary>
    /// <param name="drivers">Names of <see cref="BootArguments.Drivers"/>.</param>
    public static void Load(IReadOnlyList<string> drivers)
    {
        foreach (string module in drivers.SelectMany(ModuleNames.OfDriver))
        {
            Busybox.LoadModules(module);
        }
    }
}
