namespace NbdFuse.Protocol;

/// <summary>
/// Kinds of NBD_REP_INFO (proto.md, "Option reply types"). Unknown kinds are ignored.
/// </summary>
public enum NbdInfoType : ushort
{
    /// <summary>NBD_INFO_EXPORT: size and transmission flags; always present.</summary>
    Export = 0,

    /// <summary>NBD_INFO_NAME: the canonical name of the export.</summary>
    Name = 1,

    /// <summary>NBD_INFO_DESCRIPTION: text for humans.</summary>
    Description = 2,

    /// <summary>NBD_INFO_BLOCK_SIZE: minimum, preferred and maximum block size.</summary>
    BlockSize = 3,
}
