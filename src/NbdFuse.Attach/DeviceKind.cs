namespace NbdFuse.Attach;

/// <summary>
/// What the commands must know of the devices of one driver when no daemon answers for them: recognise, look at, take down.
/// </summary>
/// <remarks>
/// THREADING: control plane, in a process that does not serve the device: every member may wait for the device's answers.
/// </remarks>
public abstract class DeviceKind
{
    /// <summary>Name of the driver, as in <see cref="AttachState.Driver"/>.</summary>
    public abstract string Driver { get; }

    /// <summary>Whether a path is that of a whole device of this kind, there or not.</summary>
    /// <param name="path">Such as /dev/loop7.</param>
    public abstract bool IsPath(string path);

    /// <summary>
    /// Whether a device is, by the kernel's own word, that of an entry: after a crash its number may have gone to somebody else.
    /// </summary>
    /// <param name="entry">The entry.</param>
    /// <param name="state">Its state; the driver is that of this kind.</param>
    /// <param name="device">Path of a whole device, of any kind.</param>
    public abstract bool IsHeld(AttachEntry entry, AttachState state, string device);

    /// <summary>Finds the device of an entry whose daemon did not come to write it down.</summary>
    /// <param name="entry">The entry.</param>
    /// <returns>Path of the whole device, or null.</returns>
    public abstract string? Find(AttachEntry entry);

    /// <summary>
    /// Takes down the device of an entry without its daemon, and waits until the kernel has let it go. A device that is not the
    /// entry's any more is left alone. The entry stays.
    /// </summary>
    /// <param name="entry">The entry.</param>
    /// <param name="state">Its state, with the device; the device may be empty when there is none.</param>
    /// <param name="force">Do it although the device is in use: the kernel then lets go when its last user does.</param>
    /// <returns>Who still uses the device; with <paramref name="force"/> only.</returns>
    /// <exception cref="DeviceBusyException">It is in use, and nothing was done.</exception>
    /// <exception cref="AttachException">It could not.</exception>
    public abstract IReadOnlyList<DeviceHolder> TakeDown(AttachEntry entry, AttachState state, bool force);

    /// <summary>Status of a device that needs no daemon, or lives on without it.</summary>
    /// <param name="entry">The entry.</param>
    /// <param name="state">Its state; the process in it does not exist.</param>
    /// <returns>Null when the device is worth nothing without its daemon: it is stale.</returns>
    public virtual AttachStatus? StatusWithoutDaemon(AttachEntry entry, AttachState state) => null;

    /// <summary>Whether nothing is left of a device whose daemon is gone, so that its entry may go, too.</summary>
    /// <param name="state">The state of its entry.</param>
    public virtual bool IsGone(AttachState state) => false;

    /// <summary>What a detach without force of a device whose daemon is gone leaves open; one line, asked before it is taken down.</summary>
    /// <param name="entry">The entry.</param>
    /// <param name="state">Its state, with the device.</param>
    /// <returns>Null for nothing.</returns>
    public virtual string? LossWithoutDaemon(AttachEntry entry, AttachState state) => null;

    /// <summary>What a stale device of this kind does to its users, and what helps; one line.</summary>
    /// <param name="device">Path of the device; empty when there is none.</param>
    public virtual string DescribeStale(string device) =>
        $"its process is gone, and every request fails; 'nbdfuse detach {(device.Length > 0 ? device : "DEV")}' cleans up";
}
