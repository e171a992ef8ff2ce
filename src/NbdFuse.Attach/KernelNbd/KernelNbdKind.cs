namespace NbdFuse.Attach.KernelNbd;

/// <summary>Devices of the kernel's nbd driver: they live without a process of ours.</summary>
public sealed class KernelNbdKind : DeviceKind
{
    /// <summary>Name of the driver.</summary>
    public const string Name = "nbd";

    /// <summary>State of a device that the kernel serves while nobody of ours watches its connections.</summary>
    public const string Unsupervised = "unsupervised";

    /// <inheritdoc/>
    public override string Driver => Name;

    /// <inheritdoc/>
    public override bool IsPath(string path) => KernelNbdDevice.TryNumber(path, out _);

    /// <inheritdoc/>
    public override bool IsHeld(AttachEntry entry, AttachState state, string device) =>
        KernelNbdDevice.TryNumber(device, out int index)
        && KernelNbdDevice.IsOurs(index, entry.LoopName, KernelNbdNote.Parse(state.DriverNote).Owner);

    /// <inheritdoc/>
    public override string? Find(AttachEntry entry) =>
        KernelNbdDevice.Find(entry.LoopName) is var index and >= 0 ? KernelNbdDevice.PathOf(index) : null;

    /// <inheritdoc/>
    public override IReadOnlyList<DeviceHolder> TakeDown(AttachEntry entry, AttachState state, bool force)
    {
        if (!KernelNbdDevice.TryNumber(state.Device, out int index))
        {
            return [];
        }

        KernelNbdNote note = KernelNbdNote.Parse(state.DriverNote);
        var down = new KernelNbdTakeDown(index, entry.LoopName, note.Owner) { IsIoctl = note.IsIoctl, Partitions = state.Partitions ?? [] };
        if (force)
        {
            return down.RunByForce();
        }

        down.Run();
        return [];
    }

    /// <inheritdoc/>
    public override AttachStatus? StatusWithoutDaemon(AttachEntry entry, AttachState state)
    {
        if (!IsHeld(entry, state, state.Device) || !KernelNbdDevice.TryNumber(state.Device, out int index))
        {
            return null;
        }

        bool wasSupervised = KernelNbdNote.Parse(state.DriverNote).IsSupervised;
        IReadOnlyList<OperationStatus> operations = KernelNbdDevice.Statistics(index, out int inFlight);
        return new AttachStatus
        {
            Attached = state,
            State = Unsupervised,
            Reason = wasSupervised
                ? "its supervisor is gone: the kernel serves it, and a lost connection is not replaced any more"
                : "the kernel serves it, and nobody replaces a lost connection (--no-supervisor)",
            Guarantees = KernelNbdGuarantees.Of(isSupervised: false),
            InFlight = inFlight,
            Operations = operations,
        };
    }

    /// <inheritdoc/>
    public override string DescribeStale(string device) =>
        $"the kernel has ended the device; 'nbdfuse detach {(device.Length > 0 ? device : "DEV")}' forgets it";
}
