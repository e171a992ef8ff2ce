using System.Net;

namespace NbdFuse.Cli;

/// <summary>What <c>serve</c> is asked to do.</summary>
internal sealed record ServeOptions
{
    /// <summary>TCP port, 0 to 65535; 0 lets the kernel choose. Null with a unix socket.</summary>
    public int? Port { get; init; }

    /// <summary>Path of a unix socket, or null.</summary>
    public string? UnixPath { get; init; }

    /// <summary>Address to listen at.</summary>
    public IPAddress Bind { get; init; } = IPAddress.Loopback;

    /// <summary>Name of the export.</summary>
    public string Name { get; init; } = string.Empty;

    /// <summary>Text about the export, or null.</summary>
    public string? Description { get; init; }

    /// <summary>Refuse writes.</summary>
    public bool ReadOnly { get; init; }

    /// <summary>File for the process id, or null.</summary>
    public string? PidFile { get; init; }

    /// <summary>Serve this many bytes of memory, zeroes at first; null with a file.</summary>
    public long? MemoryBytes { get; init; }

    /// <summary>Serve this file or block device, or null.</summary>
    public string? File { get; init; }
}
