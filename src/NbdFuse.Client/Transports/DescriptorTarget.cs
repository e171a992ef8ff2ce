namespace NbdFuse.Client;

/// <summary>A connected socket that was inherited; it is owned, and closed, from the first connection on.</summary>
/// <param name="Fd">The descriptor, at least 0.</param>
public sealed record DescriptorTarget(int Fd) : NbdTarget
{
    /// <inheritdoc/>
    public override string WhyNoReconnect => "an inherited socket (--fd) cannot be connected to again: give an address";

    /// <inheritdoc/>
    public override bool CanOpenMore => false;

    /// <inheritdoc/>
    public override string ToString() => $"file descriptor {Fd}";
}
