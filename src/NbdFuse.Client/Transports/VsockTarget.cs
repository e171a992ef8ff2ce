namespace NbdFuse.Client;

/// <summary>A server reached by a virtual machine socket.</summary>
/// <param name="Cid">Context identifier of the machine that the server runs on; 2 is the host, 1 the own machine.</param>
/// <param name="Port">Port, 32 bits.</param>
public sealed record VsockTarget(uint Cid, uint Port) : NbdTarget
{
    /// <inheritdoc/>
    public override bool CanOpenMore => true;

    /// <inheritdoc/>
    public override string ToString() => $"vsock {Cid}:{Port}";
}
