using NbdFuse.Native;

namespace NbdFuse.Cli;

/// <summary>
/// The connections of dead workers, until the server has let go of them: a write that is stuck in one of them could otherwise be
/// executed after it was sent again, and after newer writes to the same place.
/// </summary>
/// <remarks>THREADING: the keeper's thread.</remarks>
internal sealed class OldConnections : IDisposable
{
    // A server that never stops to send must not keep the keeper busy.
    private const int ReadsPerTurn = 16;

    private readonly List<FileDescriptor> _open = [];
    private readonly byte[] _scratch = new byte[64 * 1024];

    /// <summary>Connections that the server has not closed yet.</summary>
    public IReadOnlyList<FileDescriptor> Open => _open;

    /// <summary>Takes the connections of a worker that has died with all of its threads.</summary>
    /// <param name="sockets">Their sockets; they belong to this object from here on.</param>
    public void Add(IEnumerable<FileDescriptor> sockets)
    {
        foreach (FileDescriptor socket in sockets)
        {
            // A server that reads the end of its input, and has done what it was asked for before, closes.
            _ = Posix.Shutdown(socket.Value, SocketConstants.SHUT_WR);
            _open.Add(socket);
        }
    }

    /// <summary>Throws away what a server still sends, and notices its end.</summary>
    /// <param name="socket">One of <see cref="Open"/>, which is readable or broken.</param>
    public void Drain(FileDescriptor socket)
    {
        int received = 1;
        for (int i = 0; i < ReadsPerTurn && received > 0; i++)
        {
            received = Posix.Recv(socket.Value, _scratch, SocketConstants.MSG_DONTWAIT);
        }

        if (received is > 0 or -Errno.EAGAIN or -Errno.EINTR)
        {
            return;
        }

        _open.Remove(socket);
        socket.Dispose();
    }

    /// <summary>Gives up on those that are left: at least what still lies in our own buffers is not sent any more.</summary>
    /// <returns>How many there were.</returns>
    public int Cut()
    {
        int count = _open.Count;
        foreach (FileDescriptor socket in _open)
        {
            _ = Posix.SetLingerZero(socket.Value);
            socket.Dispose();
        }

        _open.Clear();
        return count;
    }

    /// <inheritdoc/>
    public void Dispose() => Cut();
}
