using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace NbdFuse.Native;

/// <summary>Builds the sockaddr structures of connect(2) and bind(2).</summary>
public static class SocketAddresses
{
    /// <summary>The longest unix socket path in bytes: sun_path has 108 and we keep the terminating NUL.</summary>
    public const int MaximumUnixPath = 107;

    /// <summary>struct sockaddr_in.</summary>
    /// <param name="address">An IPv4 address.</param>
    /// <param name="port">0 to 65535.</param>
    public static byte[] ForIPv4(IPAddress address, int port)
    {
        if (address.AddressFamily != AddressFamily.InterNetwork)
        {
            throw new ArgumentException($"{address} is not an IPv4 address.", nameof(address));
        }

        byte[] result = new byte[16];
        WriteHeader(result, SocketConstants.AF_INET, port);
        address.TryWriteBytes(result.AsSpan(4), out _);
        return result;
    }

    /// <summary>struct sockaddr_in6, with the scope of a link-local address.</summary>
    /// <param name="address">An IPv6 address.</param>
    /// <param name="port">0 to 65535.</param>
    public static byte[] ForIPv6(IPAddress address, int port)
    {
        if (address.AddressFamily != AddressFamily.InterNetworkV6)
        {
            throw new ArgumentException($"{address} is not an IPv6 address.", nameof(address));
        }

        byte[] result = new byte[28];
        WriteHeader(result, SocketConstants.AF_INET6, port);
        address.TryWriteBytes(result.AsSpan(8), out _);
        BinaryPrimitives.WriteUInt32LittleEndian(result.AsSpan(24), (uint)address.ScopeId);
        return result;
    }

    /// <summary>The address of either version.</summary>
    /// <param name="endPoint">Address and port.</param>
    public static byte[] ForIP(IPEndPoint endPoint) =>
        endPoint.AddressFamily == AddressFamily.InterNetworkV6
            ? ForIPv6(endPoint.Address, endPoint.Port)
            : ForIPv4(endPoint.Address, endPoint.Port);

    /// <summary>struct sockaddr_un. A leading NUL makes an abstract name, whose length counts.</summary>
    /// <param name="path">Path, or NUL and a name.</param>
    /// <exception cref="ArgumentException">The path is empty or longer than <see cref="MaximumUnixPath"/> bytes.</exception>
    public static byte[] ForUnix(string path)
    {
        if (path.Length == 0)
        {
            throw new ArgumentException("The path of a unix socket is empty.", nameof(path));
        }

        bool isAbstract = path[0] == '\0';
        int length = Encoding.UTF8.GetByteCount(path);
        if (length > MaximumUnixPath)
        {
            throw new ArgumentException(
                $"The path of a unix socket may have {MaximumUnixPath} bytes, this one has {length}: {path.Replace('\0', '@')}",
                nameof(path));
        }

        if (path.IndexOf('\0', isAbstract ? 1 : 0) >= 0)
        {
            throw new ArgumentException("The path of a unix socket contains a NUL character.", nameof(path));
        }

        byte[] result = new byte[2 + length + (isAbstract ? 0 : 1)];
        BinaryPrimitives.WriteUInt16LittleEndian(result, SocketConstants.AF_UNIX);
        Encoding.UTF8.GetBytes(path, result.AsSpan(2));
        return result;
    }

    /// <summary>struct sockaddr_vm (linux/vm_sockets.h).</summary>
    /// <param name="cid">Context id; <see cref="SocketConstants.VMADDR_CID_HOST"/> is the host.</param>
    /// <param name="port">Port, 32 bits.</param>
    public static byte[] ForVsock(uint cid, uint port)
    {
        byte[] result = new byte[16];
        BinaryPrimitives.WriteUInt16LittleEndian(result, SocketConstants.AF_VSOCK);
        BinaryPrimitives.WriteUInt32LittleEndian(result.AsSpan(4), port);
        BinaryPrimitives.WriteUInt32LittleEndian(result.AsSpan(8), cid);
        return result;
    }

    /// <summary>The port of an IPv4, IPv6 or vsock address, such as <see cref="Posix.GetSockName"/> returns.</summary>
    /// <param name="address">A sockaddr.</param>
    public static long GetPort(ReadOnlySpan<byte> address) => GetFamily(address) switch
    {
        SocketConstants.AF_INET or SocketConstants.AF_INET6 => BinaryPrimitives.ReadUInt16BigEndian(address[2..]),
        SocketConstants.AF_VSOCK => BinaryPrimitives.ReadUInt32LittleEndian(address[4..]),
        int family => throw new ArgumentException($"Addresses of family {family} have no port.", nameof(address)),
    };

    /// <summary>The address family, one of the AF_ constants.</summary>
    /// <param name="address">A sockaddr.</param>
    public static int GetFamily(ReadOnlySpan<byte> address) => BinaryPrimitives.ReadUInt16LittleEndian(address);

    private static void WriteHeader(Span<byte> result, int family, int port)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(port);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(port, ushort.MaxValue);
        BinaryPrimitives.WriteUInt16LittleEndian(result, (ushort)family);
        BinaryPrimitives.WriteUInt16BigEndian(result[2..], (ushort)port);
    }
}
