using System.Net;
using System.Net.Sockets;

namespace NbdFuse.TestKit;

/// <summary>A server of the tests that speaks real NBD. It is gone, with its files, when it has been disposed.</summary>
public abstract class RealServer : IAsyncDisposable
{
    private protected RealServer(TempDirectory directory, EndPoint endPoint, string exportName)
    {
        Directory = directory;
        EndPoint = endPoint;
        ExportName = exportName;
    }

    /// <summary>The server's directory.</summary>
    public TempDirectory Directory { get; }

    /// <summary>Where it listens.</summary>
    public EndPoint EndPoint { get; }

    /// <summary>Name of its export.</summary>
    public string ExportName { get; }

    /// <summary>Its NBD URI.</summary>
    public string Uri => NbdUris.For(EndPoint, ExportName);

    /// <summary>Path of the unix socket, or null.</summary>
    public string? SocketPath => EndPoint is UnixDomainSocketEndPoint ? EndPoint.ToString() : null;

    /// <summary>The file that it serves, or null.</summary>
    public string? BackingFile { get; init; }

    /// <summary>What the server has said so far.</summary>
    public abstract string Log { get; }

    /// <summary>Reads what the server's file holds now, behind the server's back.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="length">Length in bytes.</param>
    /// <exception cref="NotSupportedException">The server has no file.</exception>
    public byte[] ReadBacking(long offset, int length)
    {
        using FileStream file = File.Open(
            BackingFile ?? throw new NotSupportedException("This server has no file."),
            FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        byte[] data = new byte[length];
        file.Position = offset;
        file.ReadExactly(data);
        return data;
    }

    /// <summary>Ends it like a crash: connections break, nothing is flushed.</summary>
    public abstract void Kill();

    /// <summary>Ends it politely.</summary>
    public abstract Task StopAsync();

    /// <summary>Starts it again, after <see cref="Kill"/> or <see cref="StopAsync"/>, at the same address with the same file.</summary>
    public abstract Task RestartAsync();

    /// <summary>Connects a plain socket to it.</summary>
    public async Task<Socket> ConnectAsync()
    {
        var socket = new Socket(EndPoint.AddressFamily, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            await socket.ConnectAsync(EndPoint).ConfigureAwait(false);
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await DisposeCoreAsync().ConfigureAwait(false);
        Directory.Dispose();
    }

    private protected abstract ValueTask DisposeCoreAsync();
}
