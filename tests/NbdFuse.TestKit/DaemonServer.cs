using System.Globalization;
using System.Net;
using System.Net.Sockets;
using NbdFuse.Native;

namespace NbdFuse.TestKit;

/// <summary>
/// nbd-server: it puts itself into the background, in a session of its own, with one process per client. (Its option to
/// stay in the foreground serves one client only.)
/// </summary>
internal sealed class DaemonServer : RealServer
{
    private const int SigKill = 9;
    private const int SigTerm = 15;
    private readonly string _file;
    private readonly string[] _args;
    private readonly string _pidFile;
    private string _log = string.Empty;
    private int _session;

    public DaemonServer(
        TempDirectory directory, EndPoint endPoint, string exportName, string file, string[] args, string pidFile)
        : base(directory, endPoint, exportName)
    {
        _file = file;
        _args = [.. args, "-p", pidFile];
        _pidFile = pidFile;
    }

    /// <inheritdoc/>
    public override string Log => _log;

    /// <inheritdoc/>
    public override void Kill() => EndAsync(SigKill).GetAwaiter().GetResult();

    /// <inheritdoc/>
    public override Task StopAsync() => EndAsync(SigTerm);

    /// <inheritdoc/>
    public override async Task RestartAsync()
    {
        await EndAsync(SigKill).ConfigureAwait(false);
        File.Delete(_pidFile);
        if (SocketPath is not null)
        {
            File.Delete(SocketPath);
        }

        ToolResult result = await Tool.RunAsync(_file, _args).ConfigureAwait(false);
        _log = result.Output + result.Error;
        if (result.ExitCode != 0)
        {
            throw new ServerStartException(result.ToString());
        }

        await Deadline.Until(
            () => File.Exists(_pidFile) && File.ReadAllText(_pidFile).Trim().Length > 0, $"'{result.CommandLine}' to write its pid")
            .ConfigureAwait(false);
        _session = int.Parse(File.ReadAllText(_pidFile), CultureInfo.InvariantCulture);
        await Deadline.Until(
            () => IsReady() || !Members().Any(), $"'{result.CommandLine}' to listen").ConfigureAwait(false);
        if (!Members().Any())
        {
            throw new ServerStartException($"'{result.CommandLine}' went into the background and ended: {_log}");
        }
    }

    private protected override async ValueTask DisposeCoreAsync() => await EndAsync(SigKill).ConfigureAwait(false);

    private bool IsReady()
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

    private async Task EndAsync(int signal)
    {
        if (_session == 0)
        {
            return;
        }

        long start = Environment.TickCount64;
        await Deadline.Until(
            () =>
            {
                // Again and again: a process may be about to fork. After 5 s without effect, the hard way.
                bool any = false;
                foreach (int pid in Members())
                {
                    any = true;
                    Posix.Kill(pid, Environment.TickCount64 - start > 5000 ? SigKill : signal);
                }

                return !any;
            },
            "nbd-server to end").ConfigureAwait(false);
        _session = 0;
    }

    // The session's processes, zombies excepted: without a reaping process 1 those stay for ever.
    private IEnumerable<int> Members()
    {
        foreach (string directory in System.IO.Directory.EnumerateDirectories("/proc"))
        {
            if (int.TryParse(Path.GetFileName(directory), CultureInfo.InvariantCulture, out int pid)
                && ReadStat(directory) is string[] fields
                && fields[0] != "Z"
                && fields[3] == _session.ToString(CultureInfo.InvariantCulture))
            {
                yield return pid;
            }
        }
    }

    // State, parent, group, session: what follows the name in parentheses (proc_pid_stat(5)).
    private static string[]? ReadStat(string directory)
    {
        try
        {
            string stat = File.ReadAllText(Path.Combine(directory, "stat"));
            return stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
        }
        catch (IOException)
        {
            // It ended while we looked.
            return null;
        }
    }
}
