using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>A running <c>nbdfuse serve</c>.</summary>
internal sealed class ServeProcess : IAsyncDisposable
{
    private readonly BackgroundTool _tool;

    private ServeProcess(BackgroundTool tool)
    {
        _tool = tool;
    }

    /// <summary>The URI that it printed.</summary>
    public string Uri => _tool.Output.Trim();

    /// <summary>Starts it, and waits for its URI.</summary>
    /// <param name="args">What follows <c>serve</c>.</param>
    public static async Task<ServeProcess> StartAsync(params string[] args)
    {
        var server = new ServeProcess(new BackgroundTool(NbdfuseProgram.FullPath, ["serve", .. args]));
        try
        {
            await Deadline.Until(() => server._tool.HasExited || server._tool.Output.EndsWith('\n'), "serve to print its URI");
            Assert.True(!server._tool.HasExited, $"serve ended: {server._tool.Error}");
            return server;
        }
        catch
        {
            await server.DisposeAsync();
            throw;
        }
    }

    /// <summary>Asks it to end, and waits.</summary>
    /// <returns>The exit code.</returns>
    public Task<int> StopAsync() => _tool.StopAsync();

    /// <summary>Ends it like a crash.</summary>
    public void Kill() => _tool.Kill();

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => _tool.DisposeAsync();
}
