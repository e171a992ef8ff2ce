using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace NbdFuse.TestKit;

/// <summary>
/// A server that can only serve several clients when it runs in the background, in a session of its own: it is known by its
/// pid file, and its workers by its process group.
/// </summary>
internal sealed class DaemonServer : RealServer
{
    private readonly string _file;
    private readonly string[] _args;
    private readonly string _pidFile;
    private int _pid;

    public DaemonServer(
        TempDirectory directory, EndPoint endPoint, string exportName, string file, string[] args, string pidFile)
        : base(directory, endPoint, exportName)
    {
        _file = file;
        _args = args;
        _pidFile = pidFile;
    }

    /// <summary>Nothing: a daemon talks to syslog.</summary>
    public override string Log => string.Empty;

    /// <inheritdoc/>
    public override void Kill()
    {
        if (_pid != 0)
        {
            Signal("KILL", $"-{_pid}");
            WaitUntilGone().GetAwaiter().GetResult();
        }
    }

    /// <inheritdoc/>
    public override async Task StopAsync()
    {
        if (_pid != 0)
        {
            Signal("TERM", $"{_pid}");
            await WaitUntilGone().ConfigureAwait(false);
        }
    }

    /// <inheritdoc/>
    public override async Task RestartAsync()
    {
        Kill();

        // What a killed server leaves behind would stop the next one, or look like its readiness.
        File.Delete(_pidFile);
        if (SocketPath is not null)
        {
            File.Delete(SocketPath);
        }

        ToolResult start = await Tool.RunAsync(_file, _args).ConfigureAwait(false);
        if (start.ExitCode != 0)
        {
            throw new ServerStartException($"'{start.CommandLine}' ended with {start.ExitCode}: {start.Output}{start.Error}");
        }

        // Some write the pid file before they listen.
        await Deadline.Until(() => (_pid = ReadPid()) != 0 && IsListening(), $"'{start.CommandLine}' to listen")
            .ConfigureAwait(false);
    }

    private protected override ValueTask DisposeCoreAsync()
    {
        Kill();
        return ValueTask.CompletedTask;
    }

    private static void Signal(string name, string target) =>
        Tool.Run("/bin/sh", "-c", $"kill -s {name} -- {target} 2>/dev/null || true").EnsureSuccess();

    private int ReadPid() =>
        File.Exists(_pidFile)
        && int.TryParse(File.ReadAllText(_pidFile).Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out int pid)
            ? pid
            : 0;

    private bool IsListening()
    {
        using var probe = new Socket(EndPoint.AddressFamily, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            probe.Connect(EndPoint);
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }

    private async Task WaitUntilGone()
    {
        int pid = _pid;
        await Deadline.Until(() => IsGone(pid), $"process {pid} to end").ConfigureAwait(false);
        _pid = 0;
    }

    // A process that nobody has waited for (its parent is whoever adopts orphans here) still has a directory, but no command.
    private static bool IsGone(int pid)
    {
        try
        {
            return File.ReadAllBytes($"/proc/{pid}/cmdline").Length == 0;
        }
        catch (IOException)
        {
            return true;
        }
    }
}
