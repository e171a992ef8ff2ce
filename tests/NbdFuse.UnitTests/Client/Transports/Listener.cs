using System.Net;
using NbdFuse.Native;
using Xunit;

namespace NbdFuse.UnitTests.Client.Transports;

/// <summary>A listening socket whose connections wait in its backlog until a test accepts them.</summary>
internal sealed class Listener : IDisposable
{
    private readonly FileDescriptor _socket;
    private readonly List<FileDescriptor> _fillers = [];

    public Listener(byte[] address, int backlog = 16)
    {
        _socket = FileDescriptor.OwnOrThrow(
            Posix.Socket(SocketAddresses.GetFamily(address), SocketConstants.SOCK_STREAM), "socket");
        try
        {
            PosixException.Check(Posix.Bind(_socket.Value, address), "bind");
            PosixException.Check(Posix.Listen(_socket.Value, backlog), "listen");
            PosixException.Check(Posix.GetSockName(_socket.Value, out byte[] bound), "getsockname");
            Address = bound;
        }
        catch
        {
            _socket.Dispose();
            throw;
        }
    }

    public byte[] Address { get; }

    public int Port => (int)SocketAddresses.GetPort(Address);

    public static Listener Tcp(IPAddress address, int port = 0, int backlog = 16) =>
        new(SocketAddresses.ForIP(new IPEndPoint(address, port)), backlog);

    public static Listener Unix(string path, int backlog = 16) => new(SocketAddresses.ForUnix(path), backlog);

    public FileDescriptor Accept()
    {
        Assert.NotEqual(0, Posix.Poll(_socket.Value, PollEvents.In, 30_000));
        return FileDescriptor.OwnOrThrow(Posix.Accept4(_socket.Value, 0), "accept");
    }

    /// <summary>Fills the backlog, so that the next connect gets no answer.</summary>
    public void Fill()
    {
        for (int i = 0; i < 64; i++)
        {
            FileDescriptor filler = FileDescriptor.OwnOrThrow(
                Posix.Socket(SocketAddresses.GetFamily(Address), SocketConstants.SOCK_STREAM | SocketConstants.SOCK_NONBLOCK), "socket");
            _fillers.Add(filler);
            int result = Posix.Connect(filler.Value, Address);
            if (result == -Errno.EAGAIN
                || (result == -Errno.EINPROGRESS && Posix.Poll(filler.Value, PollEvents.Out, 300) == 0))
            {
                return;
            }
        }

        Assert.Fail("the backlog did not fill up");
    }

    public void Dispose()
    {
        foreach (FileDescriptor filler in _fillers)
        {
            filler.Dispose();
        }

        _socket.Dispose();
    }
}
