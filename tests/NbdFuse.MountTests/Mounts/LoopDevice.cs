using NbdFuse.Native;
using NbdFuse.TestKit;

namespace NbdFuse.MountTests;

/// <summary>A loop device over a file, by losetup, with direct I/O. Detached, and what it carries unmounted, in the end.</summary>
internal sealed class LoopDevice : IAsyncDisposable
{
    private string? _mountPoint;

    private LoopDevice(string path)
    {
        Path = path;
    }

    /// <summary>Path of the device.</summary>
    public string Path { get; }

    /// <summary>Attaches the next free device.</summary>
    /// <param name="file">The file below it.</param>
    public static async Task<LoopDevice> AttachAsync(string file)
    {
        // losetup asks for a free number and takes it in a second step: somebody else can be faster.
        ToolResult result = await Tool.RunAsync("losetup", "--find", "--show", "--direct-io=on", file);
        for (int attempt = 0; attempt < 5 && result.ExitCode != 0 && result.Error.Contains("busy"); attempt++)
        {
            result = await Tool.RunAsync("losetup", "--find", "--show", "--direct-io=on", file);
        }

        return new LoopDevice(result.EnsureSuccess().Output.Trim());
    }

    /// <summary>Mounts the file system on it.</summary>
    /// <param name="directory">Where.</param>
    public async Task MountAsync(string directory)
    {
        (await Tool.RunAsync("mount", Path, directory)).EnsureSuccess();
        _mountPoint = directory;
    }

    /// <summary>Unmounts it.</summary>
    public async Task UnmountAsync()
    {
        (await Tool.RunAsync("umount", _mountPoint!)).EnsureSuccess();
        _mountPoint = null;
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (_mountPoint is not null)
        {
            Posix.Umount2(_mountPoint, Posix.UnmountDetach);
        }

        (await Tool.RunAsync("losetup", "--detach", Path)).EnsureSuccess();
    }
}
