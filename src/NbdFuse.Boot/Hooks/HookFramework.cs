namespace NbdFuse.Boot;

/// <summary>A framework that makes initramfs files, and takes hooks.</summary>
public enum HookFramework
{
    /// <summary>Debian's initramfs-tools.</summary>
    InitramfsTools,

    /// <summary>dracut.</summary>
    Dracut,
}
