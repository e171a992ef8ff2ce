using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using NbdFuse.Client;
using NbdFuse.Native;
using Xunit;

namespace NbdFuse.UnitTests.Client.Handshake;

/// <summary>Runs the client against a script, and reports failures of either.</summary>
internal static class HandshakeRun
{
    public static Task<NbdNegotiated> NegotiateAsync(
        Action<ScriptedPeer> script,
        string exportName = "disk",
        NbdHandshakeOptions? options = null,
        ILogger? logger = null) =>
        RunAsync(
            socket => NbdHandshake.NegotiateAsync(
                socket, (options ?? new NbdHandshakeOptions()) with { ExportName = exportName }, logger ?? NullLogger.Instance),
            script);

    public static Task<NbdListing> ListAsync(
        Action<ScriptedPeer> script, bool withInfo = false, NbdHandshakeOptions? options = null) =>
        RunAsync(
            socket => NbdHandshake.ListAsync(socket, options ?? new NbdHandshakeOptions(), withInfo, NullLogger.Instance), script);

    public static async Task<TError> FailsAsync<TError>(
        Action<ScriptedPeer> script, string exportName = "disk", NbdHandshakeOptions? options = null)
        where TError : Exception
    {
        TError error = await Assert.ThrowsAsync<TError>(() => NegotiateAsync(script, exportName, options));
        Assert.DoesNotContain('\n', error.Message);
        return error;
    }

    public static async Task<T> RunAsync<T>(Func<FileDescriptor, Task<T>> client, Action<ScriptedPeer> script)
    {
        using ScriptedPeer peer = ScriptedPeer.Create(out FileDescriptor socket);
        Task server = Task.Factory.StartNew(
            () =>
            {
                try
                {
                    script(peer);
                }
                catch
                {
                    // A script that failed answers no more: the client shall not wait for it.
                    peer.Close();
                    throw;
                }
            },
            CancellationToken.None,
            TaskCreationOptions.LongRunning,
            TaskScheduler.Default);
        Task<T> conversation = client(socket);
        try
        {
            await Task.WhenAny(conversation);
        }
        finally
        {
            socket.Dispose();
        }

        try
        {
            await server;
        }
        catch (Exception e) when (conversation.Exception is { } clientError)
        {
            throw new AggregateException("script and client failed", e, clientError.InnerException!);
        }

        return await conversation;
    }
}
