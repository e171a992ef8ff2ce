using Microsoft.Extensions.Logging.Abstractions;
using NbdFuse.Client;
using NbdFuse.Native;
using NbdFuse.Protocol;

namespace NbdFuse.Fuzz.Targets;

/// <summary>A server that says the input, whatever the client says, and then hangs up. Recorded handshakes are the corpus.</summary>
internal sealed class HandshakeTarget(HandshakeConversation conversation) : IFuzzTarget
{
    private static readonly NbdHandshakeOptions Options = new() { ExportName = "disk", Timeout = TimeSpan.FromSeconds(20) };

    public string Name => conversation switch
    {
        HandshakeConversation.Go => "handshake",
        HandshakeConversation.Info => "info",
        _ => "list",
    };

    /// <summary>Each recorded handshake, cut off after every byte.</summary>
    public IEnumerable<byte[]> Seeds => Corpus.Files(Name).SelectMany(file => Enumerable.Range(0, file.Length).Select(length => file[..length]));

    public void Run(byte[] input)
    {
        PosixException.Check(
            Posix.SocketPair(
                SocketConstants.AF_UNIX,
                SocketConstants.SOCK_STREAM | SocketConstants.SOCK_NONBLOCK | SocketConstants.SOCK_CLOEXEC,
                out int client,
                out int server),
            "make a socket pair");
        using FileDescriptor ours = FileDescriptor.Own(client);
        using FileDescriptor theirs = FileDescriptor.Own(server);
        for (int sent = 0; sent < input.Length;)
        {
            int result = Posix.Send(server, input.AsSpan(sent));
            PosixException.Check(result, "send the input");
            sent += result;
        }

        Posix.Shutdown(server, SocketConstants.SHUT_WR);
        try
        {
            Task task = conversation switch
            {
                HandshakeConversation.Go => NbdHandshake.NegotiateAsync(ours, Options, NullLogger.Instance),
                HandshakeConversation.Info => NbdHandshake.NegotiateAsync(
                    ours, Options with { Goal = NbdHandshakeGoal.Info }, NullLogger.Instance),
                _ => NbdHandshake.ListAsync(ours, Options, withInfo: true, NullLogger.Instance),
            };
            task.GetAwaiter().GetResult();
        }
        catch (NbdConnectException error) when (error.Reason == NbdConnectFailure.HandshakeTimeout)
        {
            // Everything had been said and the line was closed: nothing was left to wait for.
            throw new FuzzFailureException("the client waits although the server has hung up", error);
        }
        catch (NbdException error) when (error.Message.Length is > 0 and < 2000)
        {
            // The client found fault with the server, in so many words.
        }
    }

    public void Dispose()
    {
    }
}
