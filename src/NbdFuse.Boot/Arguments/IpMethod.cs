namespace NbdFuse.Boot;

/// <summary>How an interface gets its address.</summary>
public enum IpMethod
{
    /// <summary>By DHCP.</summary>
    Dhcp,

    /// <summary>As the boot arguments say.</summary>
    Static,

    /// <summary>By the kernel itself, from IPv6 router advertisements: the interface is only brought up.</summary>
    Automatic6,

    /// <summary>Not by us: addresses are left as they are.</summary>
    Off,
}
