namespace NbdFuse.Protocol;

/// <summary>Conversion of the error numbers of a reply.</summary>
public static class NbdErrors
{
    /// <summary>
    /// Maps an error number from the wire to one that the specification lists: an unknown number counts as
    /// NBD_EINVAL and is no reason to disconnect (proto.md, "Error values"). Zero stays zero.
    /// </summary>
    public static uint Normalize(uint wire) => (NbdError)wire switch
    {
        NbdError.None or NbdError.Perm or NbdError.Io or NbdError.NoMem or NbdError.Inval or NbdError.NoSpc
            or NbdError.Overflow or NbdError.NotSup or NbdError.Shutdown => wire,
        _ => (uint)NbdError.Inval,
    };
}
