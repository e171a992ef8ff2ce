using NbdFuse.Native;
using NbdFuse.Protocol;

namespace NbdFuse.Attach.KernelNbd;

/// <summary>Negotiated connections that the kernel may get.</summary>
/// <param name="export">What the server said.</param>
/// <param name="sockets">The connections, at the first byte after the handshake.</param>
/// <param name="decline">Takes leave of the server; for connections that the kernel does not get.</param>
/// <param name="owner">Closes our descriptors.</param>
public sealed class KernelNbdOffer(
    NbdExportInfo export, IReadOnlyList<FileDescriptor> sockets, Action decline, IDisposable owner) : IDisposable
{
    /// <summary>What the server said.</summary>
    public NbdExportInfo Export => export;

    /// <summary>The connections; they belong to this object.</summary>
    public IReadOnlyList<FileDescriptor> Sockets => sockets;

    /// <summary>Takes leave of the server: the kernel does not get the connections.</summary>
    public void Decline() => decline();

    /// <summary>Closes our descriptors; what the kernel has got goes on.</summary>
    public void Dispose() => owner.Dispose();
}
