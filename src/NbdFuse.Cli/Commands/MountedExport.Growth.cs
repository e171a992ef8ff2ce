using NbdFuse.Fuse;

namespace NbdFuse.Cli;

/// <content>An export that has grown: the kernel is told.</content>
internal sealed partial class MountedExport
{
    /// <summary>Usable size of the export at present, in bytes.</summary>
    public long Size => _export.Info.Size;

    // On the loop. What waits at the export goes out after it.
    private void OnGrown()
    {
        _session.AdoptSize();
        TellSize();
    }

    /// <summary>Tells the kernel of a size that it may not know.</summary>
    public void TellSize() => _ = Task.Factory.StartNew(
        () =>
        {
            // Errors mean that the kernel does not know the file at present, or that the mount has ended.
            _mount.Tell(device => FuseNotification.ForgetAttributes(device, _session.FileNode));
            if (_isDevice)
            {
                _mount.Tell(device => FuseNotification.RaiseSize(device, _session.FileNode, Size));
            }

            Grown?.Invoke();
        },
        CancellationToken.None,
        TaskCreationOptions.LongRunning,
        TaskScheduler.Default);
}
