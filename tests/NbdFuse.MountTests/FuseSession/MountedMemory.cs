using Microsoft.Extensions.Logging.Abstractions;
using NbdFuse.Block;
using NbdFuse.Fuse;
using NbdFuse.Native;

namespace NbdFuse.MountTests;

/// <summary>
/// A device in memory, mounted. Tests reach it through other processes: a page fault of this process could wait for the
/// loop's thread, which the garbage collector would stop for that very fault.
/// </summary>
internal sealed class MountedMemory : IAsyncDisposable
{
    public const int Size = 8 << 20;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly EventLoop _loop = new("fuse-mount-test");
    private readonly RequestQueue _queue;
    private readonly FuseBuffers _buffers;
    private bool _unmounted;

    private MountedMemory(FuseMount mount, FuseSessionOptions options, IBlockDevice device)
    {
        Mount = mount;
        _queue = new RequestQueue(device, new ReadyList(), new RequestQueueOptions());
        _buffers = new FuseBuffers(_queue.Capacity + FuseSession.SpareBuffers);
        Session = new FuseSession(_loop, mount.Device, _queue, _buffers, options, NullLogger.Instance);
        _loop.Start();
        Session.Start();
    }

    public FuseMount Mount { get; }

    public FuseSession Session { get; }

    public string File => Mount.Target.FilePath;

    public static async Task<MountedMemory> CreateAsync(
        string path, IBlockDevice device, FuseMountOptions? mountOptions = null, FuseSessionOptions? sessionOptions = null)
    {
        MountTarget target = MountTarget.Resolve(path);
        FuseMountOptions options = mountOptions ?? new FuseMountOptions();
        FuseMount mount = FuseMounter.Mount(target, options);
        FuseSessionOptions session = (sessionOptions ?? new FuseSessionOptions()) with { Mount = options, FileName = target.FileName };
        MountedMemory mounted = new(mount, session, device);
        await mount.WaitUntilUsableAsync(mounted.Session).WaitAsync(Patience);
        return mounted;
    }

    public async Task<FuseSessionEnd> EndAsync() => await Session.Completion.WaitAsync(Patience);

    /// <summary>Waits until the loop has done what was posted to it before.</summary>
    public async Task SettleAsync()
    {
        TaskCompletionSource done = new(TaskCreationOptions.RunContinuationsAsynchronously);
        _loop.Post(done.SetResult);
        await done.Task.WaitAsync(Patience);
    }

    public void Unmount(bool lazy)
    {
        Mount.Unmount(lazy);
        _unmounted = true;
    }

    public async ValueTask DisposeAsync()
    {
        try
        {
            if (!_unmounted)
            {
                Mount.Unmount(lazy: true);
            }
        }
        finally
        {
            // Whoever still uses the file is cut off here, so that nothing waits for a loop that has gone.
            Session.Abort(Errno.ENOTCONN);
            await EndAsync();
            Mount.Dispose();
            _loop.Dispose();
            _buffers.Dispose();
        }
    }
}
