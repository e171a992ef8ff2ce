using NbdFuse.Native;

namespace NbdFuse.Fuse;

/// <summary>A mount that exists, and the descriptor that serves it.</summary>
/// <remarks>
/// Disposing closes the descriptor and with it, when it is the last, ends the connection: what is still asked of the file
/// fails. It does not unmount.
/// THREADING: control plane; one thread at a time, never the loop's: unmounting may write pages back, which the loop serves.
/// </remarks>
public sealed class FuseMount : IDisposable
{
    private readonly FileDescriptor? _keeper;
    private readonly bool _byHelper;

    // What was mounted, to tell it from what somebody else may mount at the same path after us; null without /proc.
    private readonly MountEntry? _identity;

    // Taken over when it was out of the tree already.
    private readonly bool _isGone;

    internal FuseMount(MountTarget target, FileDescriptor device, FileDescriptor? keeper, bool byHelper)
    {
        Target = target;
        Device = device;
        _keeper = keeper;
        _byHelper = byHelper;
        MountEntry? top = MountTable.Read() is { } mounts ? MountTable.At(mounts, target.Path) : null;
        _identity = top is { IsFuse: true } ? top : null;
    }

    private FuseMount(MountTarget target, FileDescriptor device, FileDescriptor? helper, bool byHelper, FuseSavedState saved)
    {
        Target = target;
        Device = device;
        _keeper = helper;
        _byHelper = byHelper;
        List<MountEntry>? mounts = MountTable.Read();
        _identity = mounts?.Find(saved.IsMount);
        _isGone = mounts is not null && _identity is null && saved.HasMount;
    }

    /// <summary>/dev/fuse of this mount; nonblocking.</summary>
    public FileDescriptor Device { get; }

    /// <summary>The socket of a helper that unmounts when the last copy of it is closed; null without <c>auto_unmount</c>.</summary>
    public FileDescriptor? Helper => _keeper;

    /// <summary>Device number of its file system, as "major:minor"; null without /proc, or when it was gone before it was taken over.</summary>
    public string? DeviceNumber => _identity?.Device;

    /// <summary>Device number of the FUSE mount at a path, as "major:minor". The mount itself is not asked: it may hang.</summary>
    /// <param name="path">Absolute path of the mount point.</param>
    /// <returns>Null when there is none.</returns>
    public static string? DeviceAt(string path) =>
        MountTable.Read() is { } mounts && MountTable.At(mounts, path) is { IsFuse: true } entry ? entry.Device : null;

    /// <summary>Whether a FUSE mount is somewhere in the tree. The mount itself is not asked: it may hang.</summary>
    /// <param name="deviceNumber">Its device number, as "major:minor".</param>
    /// <returns>True also without /proc, when nobody can know.</returns>
    public static bool Exists(string deviceNumber) =>
        MountTable.Read() is not { } mounts || mounts.Exists(mount => mount.IsFuse && mount.Device == deviceNumber);

    /// <summary>Whether fusermount3 mounted it, and has to unmount it for users without privileges.</summary>
    public bool IsByHelper => _byHelper;

    /// <summary>What was mounted.</summary>
    public MountTarget Target { get; }

    /// <summary>Absolute path of the mount point.</summary>
    public string Path => Target.Path;

    /// <summary>Takes over a mount that another process made and has left, with its descriptors.</summary>
    /// <param name="target">What was mounted.</param>
    /// <param name="device">/dev/fuse; becomes nonblocking, and belongs to the mount from here on.</param>
    /// <param name="helper">See <see cref="Helper"/>; belongs to the mount from here on.</param>
    /// <param name="byHelper">See <see cref="IsByHelper"/>.</param>
    /// <param name="saved">What that process has left, to tell the mount from others at the same path.</param>
    public static FuseMount Adopt(MountTarget target, FileDescriptor device, FileDescriptor? helper, bool byHelper, FuseSavedState saved)
    {
        // The mode is one of the open file: whoever had it before may have chosen otherwise.
        PosixException.Check(Posix.SetNonBlocking(device.Value, true), $"{target.Path}: prepare the FUSE device");
        return new FuseMount(target, device, helper, byHelper, saved);
    }

    /// <summary>Notes for a successor which mount this is.</summary>
    /// <param name="saved">Where.</param>
    public void Save(FuseSavedState saved)
    {
        if (_identity is not null)
        {
            saved.SaveMount(_identity);
        }
    }

    /// <summary>Waits until the file can be used: INIT is answered, and the kernel knows the size.</summary>
    /// <remarks>
    /// The kernel makes the root of a mount without asking for its attributes: until somebody does, a file that is mounted
    /// over a file has the size 0, an append goes to its start, and an asynchronous direct read finds nothing.
    /// </remarks>
    /// <param name="session">The session that serves this mount; it has been started.</param>
    /// <param name="cancellation">Ends the waiting.</param>
    /// <exception cref="FuseException">The session ended before; the message says why.</exception>
    public async Task WaitUntilUsableAsync(FuseSession session, CancellationToken cancellation = default)
    {
        await Task.WhenAny(session.Ready, session.Completion).WaitAsync(cancellation).ConfigureAwait(false);
        if (session.Ready.IsCompleted)
        {
            // Not on the caller's thread: the loop answers it, and nobody knows who the caller is.
            Task<int> size = Task.Run(() => Posix.Stat(Target.FilePath, out _), CancellationToken.None);
            await Task.WhenAny(size, session.Completion).WaitAsync(cancellation).ConfigureAwait(false);
            if (size.IsCompletedSuccessfully)
            {
                int result = await size.ConfigureAwait(false);
                if (result >= 0)
                {
                    return;
                }

                if (!session.Completion.IsCompleted)
                {
                    throw new FuseException($"{Target.FilePath}: cannot look at the mounted file: {Errno.Describe(result)}", -result);
                }
            }
        }

        FuseSessionEnd end = await session.Completion.WaitAsync(cancellation).ConfigureAwait(false);
        throw new FuseException($"{Path}: the mount ended before it was usable: {end.Message}", end.Errno);
    }

    /// <summary>
    /// Unmounts. Does nothing when the mount has gone already: what is mounted at its path by now belongs to somebody else.
    /// </summary>
    /// <param name="lazy">
    /// False: only when nobody uses the file. True: out of the tree now; the session ends when the last user has closed.
    /// </param>
    /// <exception cref="FuseException">It could not; <see cref="FuseException.Errno"/> is EBUSY when the file is in use.</exception>
    public void Unmount(bool lazy)
    {
        if (!TryFind(out string path))
        {
            return;
        }

        if (_byHelper && Posix.GetEuid() != 0)
        {
            try
            {
                Fusermount.Unmount(path, lazy);
            }
            catch (FuseException) when (!TryFind(out _))
            {
                // Somebody else was faster, and the helper complained of that.
            }

            return;
        }

        int result = Posix.Umount2(path, Posix.UnmountNoFollow | (lazy ? Posix.UnmountDetach : 0));

        // Not a mount point, or no such path: unmounted between our look and the call.
        if (result is >= 0 or -Errno.EINVAL or -Errno.ENOENT)
        {
            return;
        }

        throw result == -Errno.EBUSY
            ? new FuseException(
                $"{path}: in use; close what uses it ('fuser -vm {path}' tells), or unmount with 'umount -l {path}'", Errno.EBUSY)
            : new FuseException($"{path}: cannot unmount: {Errno.Describe(result)}", -result);
    }

    /// <summary>Tells the kernel something over the connection, unless it has ended. From any thread that serves nothing.</summary>
    /// <param name="message">Sends it; a negative errno is nobody's business here.</param>
    public void Tell(Func<FileDescriptor, int> message)
    {
        bool isHeld = false;
        try
        {
            Device.DangerousAddRef(ref isHeld);
            _ = message(Device);
        }
        catch (ObjectDisposedException)
        {
            // Nobody is there to hear it.
        }
        finally
        {
            if (isHeld)
            {
                Device.DangerousRelease();
            }
        }
    }

    /// <summary>
    /// Ends the connection, when no other process holds its descriptor: what is still asked of the file fails. The session must
    /// have ended. Does nothing after the disposal. From any thread.
    /// </summary>
    public void CutOff()
    {
        // Held meanwhile: closed by another thread, its number could be somebody else's, who would lose his file.
        bool isHeld = false;
        try
        {
            Device.DangerousAddRef(ref isHeld);

            // The kernel aborts it with the last descriptor. Replaced rather than closed: a mover may be about to write to this
            // number.
            int nothing = Posix.Open("/dev/null", OpenFlags.ReadWrite | OpenFlags.CloseOnExec);
            if (nothing >= 0)
            {
                using FileDescriptor replacement = FileDescriptor.Own(nothing);
                _ = Posix.DupOnto(nothing, Device.Value);
            }
        }
        catch (ObjectDisposedException)
        {
            // The connection has ended with it.
        }
        finally
        {
            if (isHeld)
            {
                Device.DangerousRelease();
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Device.Dispose();
        _keeper?.Dispose();
    }

    /// <summary>Finds the mount, also when it or a directory above it was moved.</summary>
    /// <returns>False when it has gone, or when another one lies over it and would be hit in its place.</returns>
    private bool TryFind(out string path)
    {
        path = Path;
        if (_isGone)
        {
            return false;
        }

        if (_identity is null || MountTable.Read() is not { } mounts)
        {
            return true;
        }

        MountEntry? ours = mounts.Find(_identity.IsSameMount);
        if (ours is null)
        {
            return false;
        }

        path = ours.MountPoint;
        if (!MountTable.At(mounts, path)!.IsSameMount(ours))
        {
            return false;
        }

        // While our connection lives, nobody else can have its device number. When it has gone, what lies there is ours only
        // if it is dead: another mount may have got the same numbers.
        bool connected = Posix.Poll(Device.Value, 0, 0) == 0;
        return connected || MountTarget.IsStale(Posix.Stat(path, out _));
    }
}
