using NbdFuse.Client.Transmission;
using NbdFuse.Native;
using NbdFuse.Protocol;

namespace NbdFuse.Client;

/// <summary>
/// Connections at the very beginning of their transmission phase, with simple replies: nothing was sent or received after the
/// handshake. Blocking stream sockets, close-on-exec.
/// </summary>
public sealed class NbdHandoverSockets : IDisposable
{
    internal NbdHandoverSockets(NbdExportInfo export, IReadOnlyList<FileDescriptor> sockets)
    {
        Export = export;
        Sockets = sockets;
    }

    /// <summary>What the server said of the export; the same on all connections.</summary>
    public NbdExportInfo Export { get; }

    /// <summary>The connections, at least one. They belong to this object: whoever keeps one duplicates it.</summary>
    public IReadOnlyList<FileDescriptor> Sockets { get; }

    /// <summary>Takes leave of the server on all connections. Only when nobody else has them: the bytes would end up amid requests.</summary>
    public void SayGoodbye()
    {
        foreach (FileDescriptor socket in Sockets)
        {
            NbdConnection.SayGoodbye(socket.Value, extended: false);
        }
    }

    /// <summary>Closes our descriptors; a connection that somebody else holds goes on.</summary>
    public void Dispose()
    {
        foreach (FileDescriptor socket in Sockets)
        {
            socket.Dispose();
        }
    }
}
