using NbdFuse.Attach;
using NbdFuse.Fuse;

namespace NbdFuse.Cli;

/// <summary>Mounted files: no block devices, but status shows them as well.</summary>
internal sealed class FileKind : DeviceKind
{
    /// <summary>What stands in the place of the driver's name.</summary>
    public const string Name = "file";

    /// <summary>Whether the mount of a file is not there any more.</summary>
    /// <param name="state">The state of its entry.</param>
    public static bool IsUnmounted(AttachState state) => state.DriverNote is not { } device || !FuseMount.Exists(device);

    /// <inheritdoc/>
    public override string Driver => Name;

    /// <inheritdoc/>
    public override bool IsPath(string path) => false;

    /// <inheritdoc/>
    public override bool IsHeld(AttachEntry entry, AttachState state, string device) => false;

    /// <inheritdoc/>
    public override string? Find(AttachEntry entry) => null;

    /// <inheritdoc/>
    public override bool IsGone(AttachState state) => IsUnmounted(state);

    /// <inheritdoc/>
    public override IReadOnlyList<DeviceHolder> TakeDown(AttachEntry entry, AttachState state, bool force) =>
        throw new AttachException($"{state.Device} is a mounted file; 'fusermount3 -u {state.Device}' unmounts it");

    /// <inheritdoc/>
    public override string DescribeStale(string device) =>
        $"its process is gone, and whoever uses the file gets errors; the next 'nbdfuse {device} URI' replaces it, 'fusermount3 -u {device}' unmounts it";
}
