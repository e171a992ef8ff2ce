using System.Text;
using Microsoft.Extensions.Logging;
using NbdFuse.Client;
using NbdFuse.Fuse;
using NbdFuse.Native;

namespace NbdFuse.Cli;

/// <summary>A worker's side of its keeper: what it was left, and what it leaves to the next one.</summary>
/// <remarks>
/// THREADING: may be used from any thread. A keeper that has died is no reason to end: what would be sent to it is lost, the file
/// is served on, and nobody follows this process any more (<see cref="Lost"/>).
/// </remarks>
internal sealed class KeeperLink : IMountHost, IDisposable
{
    /// <summary>Descriptor of a worker's end of the channel.</summary>
    public const int Descriptor = 3;

    /// <summary>Exit code of a worker that has made room for a successor: nothing is left undone.</summary>
    public const int HandOverCode = 42;

    private const string Helper = "helper";

    private readonly KeeperChannel _channel;
    private readonly TaskCompletionSource _go = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _handOver = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _lost = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly ActivationFlags _flags;
    private readonly string[] _fields;
    private readonly FileDescriptor? _device;
    private readonly FileDescriptor? _helper;
    private readonly string? _pidFile;
    private FileDescriptor? _leftBuffers;

    private KeeperLink(KeeperChannel channel, byte[] body, FileDescriptor[] descriptors, string? pidFile)
    {
        _channel = channel;
        _pidFile = pidFile;
        _flags = (ActivationFlags)body[0];
        _fields = Encoding.UTF8.GetString(body.AsSpan(1)).Split('\0');
        State = FuseSavedState.Adopt(descriptors[0]);
        _device = descriptors.Length > 1 ? descriptors[1] : null;
        _helper = descriptors.Length > 2 ? descriptors[2] : null;
        WriteLog = new NbdKeptLog(
            _flags.HasFlag(ActivationFlags.LeftLog) ? ReceiveMemory(channel, KeeperMessage.LeftLog) : null, SendLog);
        _leftBuffers = _flags.HasFlag(ActivationFlags.LeftBuffers) ? ReceiveMemory(channel, KeeperMessage.LeftBuffers) : null;
    }

    /// <summary>The write log that a dead process has left, and how it is left to the next one.</summary>
    public NbdKeptLog WriteLog { get; }

    /// <summary>State of the mount.</summary>
    public FuseSavedState State { get; }

    /// <summary>Process id of the keeper.</summary>
    public int KeeperPid => Posix.GetPeerCredentials(_channel.Value, out int pid, out _, out _) < 0 ? 0 : pid;

    /// <summary>Whether there is a mount to go on with.</summary>
    public bool IsResuming => _flags.HasFlag(ActivationFlags.Resume);

    /// <summary>Whether the file was usable before.</summary>
    public bool WasUsable => _flags.HasFlag(ActivationFlags.Usable);

    /// <summary>Whether this process has begun to take requests.</summary>
    public bool IsServing { get; private set; }

    /// <summary>Ends when requests may be taken.</summary>
    public Task Go => _go.Task;

    /// <summary>Ends when this process shall make room for another.</summary>
    public Task HandOver => _handOver.Task;

    /// <summary>Ends when the keeper has died.</summary>
    public Task Lost => _lost.Task;

    /// <summary>Waits for <see cref="Go"/>.</summary>
    /// <param name="path">What is waited for, for a message.</param>
    /// <exception cref="IOException">The keeper has died meanwhile: only it knew whether the server had let go.</exception>
    public async Task WaitForGoAsync(string path)
    {
        await Task.WhenAny(Go, Lost).ConfigureAwait(false);
        if (!Go.IsCompleted)
        {
            throw new IOException($"{path}: the keeper died before this process could take it over");
        }
    }

    /// <summary>A device was made that outlives this process: another process can go on with it.</summary>
    public void Outlives() => _ = _channel.Send(KeeperMessage.Outlives);

    /// <summary>Waits for the first message of the keeper that has started this process.</summary>
    /// <param name="pidFile">The file that names the keeper's process, or null.</param>
    /// <exception cref="IOException">There is no keeper.</exception>
    public static KeeperLink Open(string? pidFile)
    {
        Posix.SetCloseOnExec(Descriptor, true);
        var channel = new KeeperChannel(FileDescriptor.Own(Descriptor));
        int result = channel.Receive(out KeeperMessage kind, out byte[] body, out FileDescriptor[] descriptors, wait: true);
        if (result <= 0 || kind != KeeperMessage.Activate || body.Length == 0 || descriptors.Length == 0)
        {
            throw new IOException("this word is for processes that nbdfuse --keeper starts");
        }

        return new KeeperLink(channel, body, descriptors, pidFile);
    }

    /// <summary>What was mounted, of the text that describes a mount.</summary>
    /// <param name="fields">Its fields.</param>
    public static MountTarget TargetOf(string[] fields) => new(fields[0], fields[1].Length == 0 ? null : fields[1]);

    /// <summary>Whether fusermount3 has mounted it.</summary>
    /// <param name="fields">Fields of the text that describes a mount.</param>
    public static bool IsByHelper(string[] fields) => fields[2] == Helper;

    /// <summary>Begins to listen, and says so: signals find a handler from here on.</summary>
    public void Start()
    {
        var thread = new Thread(Listen, 256 * 1024) { IsBackground = true, Name = "nbdfuse-keeper" };
        thread.Start();
        _ = _channel.Send(KeeperMessage.Hello);
    }

    /// <summary>The mount that an earlier process has left.</summary>
    public FuseMount AdoptMount() =>
        FuseMount.Adopt(Target, _device ?? throw new IOException("the keeper has no mount to go on with"), _helper, IsByHelper(_fields), State);

    /// <summary>What an earlier process has mounted.</summary>
    public MountTarget Target => TargetOf(_fields);

    /// <summary>Gives a mount that was just made to the keeper.</summary>
    /// <param name="mount">The mount.</param>
    public void Mounted(FuseMount mount)
    {
        mount.Save(State);
        string text = string.Join('\0', mount.Path, mount.Target.FileName ?? string.Empty, mount.IsByHelper ? Helper : string.Empty);
        int[] descriptors = mount.Helper is { } helper ? [mount.Device.Value, helper.Value] : [mount.Device.Value];
        _ = _channel.Send(KeeperMessage.Mounted, Encoding.UTF8.GetBytes(text), descriptors);
    }

    /// <summary>Gives a connection to the keeper.</summary>
    /// <param name="socket">Its socket; it stays the caller's.</param>
    public void Connected(FileDescriptor socket) => _ = _channel.Send(KeeperMessage.Connection, default, [socket.Value]);

    /// <summary>Somebody has asked this process to make room for another.</summary>
    public void MakeRoom() => _handOver.TrySetResult();

    /// <summary>Requests are taken from now on.</summary>
    public void Serving()
    {
        IsServing = true;
        _ = _channel.Send(KeeperMessage.Serving);
    }

    /// <inheritdoc/>
    public void Usable(string path, ILogger logger)
    {
        _ = _channel.Send(KeeperMessage.Usable, Encoding.UTF8.GetBytes(path));
    }

    /// <inheritdoc/>
    public void Notify(string state, ILogger logger) => _ = _channel.Send(KeeperMessage.Notify, Encoding.UTF8.GetBytes(state));

    /// <summary>This process ends; nobody shall follow it, unless it has handed over.</summary>
    /// <param name="code">Its exit code.</param>
    public void End(int code)
    {
        if (code != HandOverCode)
        {
            _ = _channel.Send(KeeperMessage.Done);
        }
    }

    /// <summary>
    /// This process ends by an error. Before the mount was taken over another attempt may succeed; afterwards it is the end of the
    /// mount, as without a keeper, and a mount that nobody can serve is cut off.
    /// </summary>
    /// <param name="error">The error.</param>
    public void End(Exception error)
    {
        if (error is KeptExportException)
        {
            _ = _channel.Send(KeeperMessage.Failed);
        }
        else if (!IsResuming || IsServing)
        {
            _ = _channel.Send(KeeperMessage.Done);
        }
    }

    /// <summary>Tells whoever has started the keeper why this process fails; nobody hears it once the file is usable.</summary>
    /// <param name="text">Lines.</param>
    public void Explain(string text) => _ = _channel.Send(KeeperMessage.Explain, Encoding.UTF8.GetBytes(text));

    /// <summary>The mount is ended by this process: its requests shall fail once our own descriptor is closed, too.</summary>
    public void LetGo() => _ = _channel.Send(KeeperMessage.LetGo);

    /// <summary>As <see cref="LetGo"/>, for a mount that this process has not taken over: its requests fail at once.</summary>
    public void Abandon()
    {
        LetGo();
        _device?.Dispose();
        _helper?.Dispose();
    }

    /// <summary>This process is about to die of a fault of its own.</summary>
    public void Crash() => _ = _channel.Send(KeeperMessage.Crashed);

    /// <summary>The keeper has died: who looks for the process that serves the file finds this one.</summary>
    /// <exception cref="IOException">The file cannot be written.</exception>
    public void TakePidFile() => PidFile.Write(_pidFile);

    /// <summary>
    /// Buffers for requests: those of the process before, with all that it has left in them, or new ones, which the next process finds.
    /// </summary>
    /// <param name="count">How many.</param>
    /// <param name="payload">Bytes of the largest payload of a request.</param>
    /// <exception cref="KeptExportException">Of what that process had taken nothing can be found again.</exception>
    public FuseBuffers MakeBuffers(int count, int payload)
    {
        FuseBuffers? left = null;
        if (_leftBuffers is { } memory)
        {
            _leftBuffers = null;
            left = FuseBuffers.Adopt(memory, count);
            if (left is null && State.LoadNegotiation() is { CanResend: false })
            {
                throw new KeptExportException(
                    "the process before was of another version: what it had taken cannot be found again, and this kernel cannot send it again; mount again");
            }
        }

        FuseBuffers buffers = left ?? new FuseBuffers(count);
        buffers.PinAll(payload);
        if (left is null)
        {
            _ = _channel.Send(KeeperMessage.Buffers, default, [buffers.Descriptor.Value]);
        }

        return buffers;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _channel.Dispose();
        _leftBuffers?.Dispose();
        State.Dispose();
    }

    private static FileDescriptor ReceiveMemory(KeeperChannel channel, KeeperMessage expected) =>
        channel.Receive(out KeeperMessage kind, out _, out FileDescriptor[] descriptors, wait: true) > 0
        && kind == expected && descriptors.Length == 1
            ? descriptors[0]
            : throw new IOException("the keeper died before this process could take the file over");

    // Before anything is acknowledged: whoever follows reads it although this process may be dead by then.
    private void SendLog(FileDescriptor memory) => _ = _channel.Send(KeeperMessage.WriteLog, default, [memory.Value]);

    private void Listen()
    {
        while (_channel.Receive(out KeeperMessage kind, out _, out FileDescriptor[] descriptors, wait: true) > 0)
        {
            foreach (FileDescriptor unknown in descriptors)
            {
                unknown.Dispose();
            }

            switch (kind)
            {
                case KeeperMessage.Go:
                    _go.TrySetResult();
                    break;
                case KeeperMessage.HandOver:
                    _handOver.TrySetResult();
                    break;
            }
        }

        _lost.TrySetResult();
    }
}
