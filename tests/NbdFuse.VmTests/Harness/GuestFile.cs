namespace NbdFuse.VmTests.Harness;

/// <summary>A file that a guest has from the start.</summary>
/// <param name="Path">Absolute path in the guest.</param>
/// <param name="Content">Its content.</param>
/// <param name="Mode">Permission bits.</param>
public sealed record GuestFile(string Path, byte[] Content, UnixFileMode Mode = GuestFile.DefaultMode)
{
    /// <summary>0644.</summary>
    public const UnixFileMode DefaultMode =
        UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead | UnixFileMode.OtherRead;

    /// <summary>0755.</summary>
    public const UnixFileMode ProgramMode =
        DefaultMode | UnixFileMode.UserExecute | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute;
}
