using NbdFuse.Native;

namespace NbdFuse.Cli;

/// <summary>A worker as its keeper sees it.</summary>
/// <remarks>THREADING: the keeper's thread.</remarks>
internal sealed class WorkerProcess : IDisposable
{
    // Where the worker finds its end of the channel.
    private const int ChannelDescriptor = KeeperLink.Descriptor;

    private WorkerProcess(ChildProcess process, KeeperChannel channel)
    {
        Process = process;
        Channel = channel;
    }

    /// <summary>The process.</summary>
    public ChildProcess Process { get; }

    /// <summary>Messages to it and from it.</summary>
    public KeeperChannel Channel { get; }

    /// <summary>Whether the other end of the channel is closed.</summary>
    public bool IsSilent { get; set; }

    /// <summary>Copies of the sockets of its connections.</summary>
    public List<FileDescriptor> Connections { get; } = [];

    /// <summary>It takes signals.</summary>
    public bool IsThere { get; set; }

    /// <summary>It was told to take requests.</summary>
    public bool IsReleased { get; set; }

    /// <summary>Monotonic milliseconds since when it takes requests; 0 when it does not yet.</summary>
    public long ServingSinceMs { get; set; }

    /// <summary>It has announced its end.</summary>
    public bool IsDone { get; set; }

    /// <summary>It has announced its end, and that nobody can follow.</summary>
    public bool HasFailed { get; set; }

    /// <summary>It dies of a fault of its own.</summary>
    public bool HasCrashed { get; set; }

    /// <summary>Starts one.</summary>
    /// <param name="argv">Program and arguments.</param>
    /// <param name="environment">Changes to the environment.</param>
    /// <param name="ioFlusher">See <see cref="SpawnOptions.IoFlusher"/>.</param>
    public static WorkerProcess Start(string[] argv, IReadOnlyList<string> environment, bool ioFlusher)
    {
        PosixException.Check(
            Posix.SocketPair(
                SocketConstants.AF_UNIX, SocketConstants.SOCK_SEQPACKET | SocketConstants.SOCK_CLOEXEC, out int ours, out int theirs),
            "make a socket pair");
        var channel = new KeeperChannel(FileDescriptor.Own(ours));
        using FileDescriptor childEnd = FileDescriptor.Own(theirs);
        try
        {
            return new WorkerProcess(
                ChildProcess.Spawn(new SpawnOptions
                {
                    Argv = argv,
                    Environment = environment,
                    Descriptors = [(childEnd.Value, ChannelDescriptor)],

                    // The keeper alone hears what is typed at the terminal, and passes it on.
                    NewSession = true,
                    IoFlusher = ioFlusher,
                }),
                channel);
        }
        catch
        {
            channel.Dispose();
            throw;
        }
    }

    /// <summary>Closes what the worker itself has closed on both sides.</summary>
    /// <param name="connection">One of <see cref="Connections"/>.</param>
    public void Forget(FileDescriptor connection)
    {
        Connections.Remove(connection);
        connection.Dispose();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Channel.Dispose();
        foreach (FileDescriptor connection in Connections)
        {
            connection.Dispose();
        }

        Process.Dispose();
    }
}
