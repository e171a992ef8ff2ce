namespace NbdFuse.Protocol;

/// <summary>Names of metadata contexts (proto.md, "Metadata querying"; QEMU's documentation, interop/nbd).</summary>
public static class NbdMetaContextNames
{
    /// <summary>The one context of the specification: holes and zeroes, see <see cref="NbdAllocation"/>.</summary>
    public const string BaseAllocation = "base:allocation";

    /// <summary>QEMU: depth in the chain of backing files at which a range is allocated; 0 is unallocated, 1 the top.</summary>
    public const string QemuAllocationDepth = "qemu:allocation-depth";

    /// <summary>QEMU: begin of the names of dirty bitmaps; the bitmap's name follows. Bit 0 is dirty.</summary>
    public const string QemuDirtyBitmapPrefix = "qemu:dirty-bitmap:";

    /// <summary>Whether the context belongs to the namespace base, whose status has 32 bits (extension-ext-header).</summary>
    public static bool IsBase(string name) => name.StartsWith("base:", StringComparison.Ordinal);

    /// <summary>
    /// Whether a text has the form of a name: a namespace of printable characters without space and colon, a colon, a leaf-name;
    /// a legal string altogether.
    /// </summary>
    /// <param name="name">The text.</param>
    public static bool IsValid(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        int colon = name.IndexOf(':', StringComparison.Ordinal);
        if (colon <= 0 || !NbdText.IsValidExportName(name, out _))
        {
            return false;
        }

        foreach (char c in name.AsSpan(0, colon))
        {
            if (char.IsWhiteSpace(c) || char.IsControl(c))
            {
                return false;
            }
        }

        return true;
    }
}
