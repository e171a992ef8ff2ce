namespace NbdFuse.Boot;

/// <summary>Modules that a boot from the network may need. Those that a kernel does not have are left out.</summary>
internal static class ModuleNames
{
    /// <summary>Buses that network cards are on.</summary>
    public static readonly string[] Buses =
    [
        "virtio_pci", "virtio_mmio", "hv_vmbus", "xhci_pci", "xhci_hcd", "xhci_plat_hcd", "ehci_pci", "ehci_hcd", "usbcore", "dwc2", "dwc3",
        "vsock", "vmw_vsock_virtio_transport", "hv_sock",
    ];

    /// <summary>Network cards, their physical layers, and raw sockets for DHCP.</summary>
    public static readonly string[] Network =
    [
        "virtio_net", "af_packet", "ipv6", "e1000", "e1000e", "igb", "igc", "ixgbe", "ixgbevf", "i40e", "iavf", "ice", "vmxnet3", "hv_netvsc",
        "xen_netfront", "ena", "gve", "8139too", "8139cp", "r8169", "ne2k_pci", "pcnet32", "tg3", "bnx2", "bnxt_en", "forcedeth", "sky2", "skge",
        "atl1", "atl1c", "atl1e", "alx", "atlantic", "via_rhine", "via_velocity", "tulip", "mlx4_en", "mlx5_core", "usbnet", "cdc_ether",
        "cdc_ncm", "asix", "ax88179_178a", "r8152", "smsc75xx", "smsc95xx", "lan78xx", "rndis_host", "bcmgenet", "macb", "fec", "mvneta", "mvpp2",
        "stmmac_platform", "dwmac_generic", "dwmac_sun8i", "dwmac_rk", "dwmac_meson8b", "sun4i_emac", "cpsw", "ti_cpsw_new", "am65_cpsw_nuss",
        "realtek", "micrel", "broadcom", "bcm7xxx", "smsc", "marvell", "at803x", "qca83xx", "motorcomm", "vitesse", "davicom", "icplus", "ax88796b",
    ];

    /// <summary>Filesystems of roots, and the checksums that they load by name.</summary>
    public static readonly string[] Filesystems =
    [
        "ext4", "xfs", "btrfs", "f2fs", "squashfs", "erofs", "overlay", "crc32c_generic", "crc32c_intel", "crc32c", "libcrc32c",
    ];

    /// <summary>Module of each driver, and its parameters.</summary>
    /// <param name="driver">One of <see cref="BootArguments.Drivers"/>.</param>
    /// <returns>Names of modules.</returns>
    public static string[] OfDriver(string driver) => driver switch
    {
        "fuse" => ["fuse", "loop"],
        "ublk" => ["ublk_drv"],
        "nbd" => ["nbd"],
        _ => [],
    };
}
