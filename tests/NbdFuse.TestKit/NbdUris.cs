using System.Net;
using System.Net.Sockets;

namespace NbdFuse.TestKit;

/// <summary>NBD URIs of addresses.</summary>
public static class NbdUris
{
    /// <summary>The URI of an export.</summary>
    /// <param name="endPoint">A TCP or unix address.</param>
    /// <param name="exportName">Name of the export.</param>
    public static string For(EndPoint endPoint, string exportName)
    {
        string name = Uri.EscapeDataString(exportName);
        return endPoint switch
        {
            UnixDomainSocketEndPoint unix => $"nbd+unix:///{name}?socket={Uri.EscapeDataString(unix.ToString()!).Replace("%2F", "/")}",
            IPEndPoint { AddressFamily: AddressFamily.InterNetworkV6 } ip => $"nbd://[{ip.Address}]:{ip.Port}/{name}",
            IPEndPoint ip => $"nbd://{ip.Address}:{ip.Port}/{name}",
            _ => throw new ArgumentException("Neither TCP nor unix.", nameof(endPoint)),
        };
    }

    /// <summary>Finds a TCP port that was free a moment ago: whoever uses it must be ready to try again.</summary>
    public static IPEndPoint FreeTcp()
    {
        using var probe = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        probe.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return (IPEndPoint)probe.LocalEndPoint!;
    }

    /// <summary>Opens a listening socket.</summary>
    /// <param name="transport">Which kind.</param>
    /// <param name="directory">Where a unix socket goes.</param>
    /// <param name="name">File name of a unix socket.</param>
    public static Socket Listen(ServerTransport transport, TempDirectory directory, string name = "nbd.sock")
    {
        EndPoint endPoint = transport == ServerTransport.Unix
            ? new UnixDomainSocketEndPoint(directory[name])
            : new IPEndPoint(IPAddress.Loopback, 0);
        var listener = new Socket(endPoint.AddressFamily, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(endPoint);
        listener.Listen(64);
        return listener;
    }
}
