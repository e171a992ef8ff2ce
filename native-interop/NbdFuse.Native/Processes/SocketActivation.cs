namespace NbdFuse.Native;

/// <summary>
/// Starts a program with listening sockets in the manner of systemd (sd_listen_fds(3)): descriptors from 3 up, their
/// number in LISTEN_FDS, and the program's own process id in LISTEN_PID.
/// </summary>
public static class SocketActivation
{
    /// <summary>The first passed descriptor (SD_LISTEN_FDS_START).</summary>
    public const int FirstDescriptor = 3;

    /// <summary>
    /// Options that start a program with sockets. Nobody knows the child's process id before it exists, so a shell sets it
    /// and replaces itself by the program: same process, same id.
    /// </summary>
    /// <param name="argv">Program and arguments.</param>
    /// <param name="sockets">Our descriptors; they stay open here.</param>
    /// <param name="names">LISTEN_FDNAMES, one per socket; null for none.</param>
    public static SpawnOptions Options(IReadOnlyList<string> argv, IReadOnlyList<int> sockets, IReadOnlyList<string>? names = null)
    {
        return new SpawnOptions
        {
            Argv = ["/bin/sh", "-c", "LISTEN_PID=$$; export LISTEN_PID; exec \"$@\"", "sh", .. argv],
            Environment =
            [
                $"LISTEN_FDS={sockets.Count}",
                names is null ? "LISTEN_FDNAMES" : $"LISTEN_FDNAMES={string.Join(':', names)}",
            ],
            Descriptors = sockets.Select((fd, index) => (fd, FirstDescriptor + index)).ToArray(),
        };
    }
}
