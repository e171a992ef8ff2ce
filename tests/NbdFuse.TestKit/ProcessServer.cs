using System.Net;
using System.Net.Sockets;

namespace NbdFuse.TestKit;

/// <summary>A server that is a program of its own.</summary>
internal sealed class ProcessServer : RealServer
{
    private readonly string _file;
    private readonly string[] _args;
    private readonly string? _pidFile;
    private BackgroundTool? _tool;

    public ProcessServer(
        TempDirectory directory, EndPoint endPoint, string exportName, string file, string[] args, string? pidFile)
        : base(directory, endPoint, exportName)
    {
        _file = file;
        _args = args;
        _pidFile = pidFile;
    }

    /// <inheritdoc/>
    public override string Log => _tool is null ? string.Empty : _tool.Output + _tool.Error;

    /// <inheritdoc/>
    public override void Kill() => _tool?.Kill();

    /// <inheritdoc/>
    public override async Task StopAsync()
    {
        if (_tool is not null)
        {
            await _tool.StopAsync().ConfigureAwait(false);
        }
    }

    /// <inheritdoc/>
    public override async Task RestartAsync()
    {
        if (_tool is not null)
        {
            await _tool.DisposeAsync().ConfigureAwait(false);
        }

        // What a killed server leaves behind would stop the next one, or look like its readiness.
        if (SocketPath is not null)
        {
            File.Delete(SocketPath);
        }

        if (_pidFile is not null)
        {
            File.Delete(_pidFile);
        }

        var tool = new BackgroundTool(_file, _args);
        _tool = tool;
        await Deadline.Until(() => tool.HasExited || IsReady(), $"'{tool.CommandLine}' to listen").ConfigureAwait(false);
        if (tool.HasExited)
        {
            await tool.WaitForExitAsync(CancellationToken.None).ConfigureAwait(false);
            throw new ServerStartException(
                $"'{tool.CommandLine}' ended with {tool.ExitCode} instead of serving: {tool.Output}{tool.Error}");
        }
    }

    private protected override async ValueTask DisposeCoreAsync()
    {
        if (_tool is not null)
        {
            await _tool.DisposeAsync().ConfigureAwait(false);
        }
    }

    // A pid file is better than a trial connection: some servers end with their last client, or serve a fixed number.
    private bool IsReady()
    {
        if (_pidFile is not null)
        {
            return File.Exists(_pidFile) && new FileInfo(_pidFile).Length > 0;
        }

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
}
