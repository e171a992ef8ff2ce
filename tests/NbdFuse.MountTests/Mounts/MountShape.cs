namespace NbdFuse.MountTests;

/// <summary>The ways to give a mountpoint.</summary>
public enum MountShape
{
    /// <summary>An existing directory: the file is DIR/nbd.</summary>
    Directory,

    /// <summary>A name that does not exist in an existing directory: the file is DIR/NAME.</summary>
    NameInDirectory,

    /// <summary>An existing regular file: it is mounted over.</summary>
    File,
}
