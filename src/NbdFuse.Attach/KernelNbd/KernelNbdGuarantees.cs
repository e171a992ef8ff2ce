namespace NbdFuse.Attach.KernelNbd;

/// <summary>What a device of the kernel's nbd driver promises.</summary>
public static class KernelNbdGuarantees
{
    /// <summary>The list.</summary>
    /// <param name="isSupervised">A process of ours replaces lost connections.</param>
    public static IReadOnlyList<Guarantee> Of(bool isSupervised) =>
    [
        new Guarantee("data-path-in-kernel", true),
        new Guarantee("reconnect", isSupervised, isSupervised ? null : "no process of ours watches the connections"),
        new Guarantee(
            "write-log",
            false,
            "the kernel's driver has none: what the server acknowledged and did not flush is lost when the server crashes"),
    ];
}
