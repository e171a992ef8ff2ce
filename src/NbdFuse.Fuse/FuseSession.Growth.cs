namespace NbdFuse.Fuse;

/// <content>A device that has grown under the file.</content>
public sealed partial class FuseSession
{
    /// <summary>
    /// Takes over the size of the device, which may have grown. The kernel hears of it by <see cref="FuseNotification"/>, from a
    /// thread that serves nothing, or when it asks. On the loop.
    /// </summary>
    public void AdoptSize()
    {
        _queue.AdoptSize();
        _size = Math.Max(_size, _queue.Info.Size);
        _file.Size = (ulong)_size;
    }

    /// <summary>Number of the file for the kernel.</summary>
    public ulong FileNode => _fileNode;
}
