using Microsoft.Extensions.Logging.Abstractions;
using NbdFuse.Client;
using NbdFuse.Protocol;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.UnitTests.Client.Tls;

/// <summary>Somebody in between who wants a client that insists on TLS to go on without, or to take his word for the server's.</summary>
public sealed class DowngradeTests
{
    // What a client that insists on TLS says before it has TLS: its flags, and NBD_OPT_STARTTLS.
    private const int HarmlessBytes = NbdClientGreeting.Size + NbdOptionHeader.Size;

    private static readonly byte[] Greeting = [.. "NBDMAGICIHAVEOPT"u8, 0, 3];

    [Theory]
    [InlineData(NbdOptionReplyType.ErrUnsup)]
    [InlineData(NbdOptionReplyType.ErrPolicy)]
    [InlineData(NbdOptionReplyType.ErrInvalid)]
    [InlineData(NbdOptionReplyType.ErrPlatform)]
    [InlineData(NbdOptionReplyType.ErrTlsReqd)]
    [InlineData(NbdOptionReplyType.ErrShutdown)]
    public async Task Rule34_refused_STARTTLS_ends_the_attempt_and_nothing_more_is_sent(NbdOptionReplyType refusal)
    {
        await using var peer = new RawPeer([.. Greeting, .. Reply(NbdOption.StartTls, refusal)]);
        var error = await Assert.ThrowsAsync<NbdConnectException>(() => OpenAsync(peer, NbdTlsMode.Require));
        Assert.Equal(NbdConnectFailure.TlsRefused, error.Reason);
        Assert.Contains("does not offer TLS", error.Message, StringComparison.Ordinal);
        await peer.ClientsLeftAsync();
        Assert.Equal(HarmlessBytes, peer.Received.Length);
    }

    [Fact]
    public async Task Rule34_missing_fixed_newstyle_ends_the_attempt_before_any_option()
    {
        await using var peer = new RawPeer([.. "NBDMAGICIHAVEOPT"u8, 0, 0]);
        var error = await Assert.ThrowsAsync<NbdConnectException>(() => OpenAsync(peer, NbdTlsMode.Require));
        Assert.Equal(NbdConnectFailure.TlsRefused, error.Reason);
        await peer.ClientsLeftAsync();
        Assert.Equal(NbdClientGreeting.Size, peer.Received.Length);
    }

    [Fact]
    public async Task Oldstyle_server_gets_nothing()
    {
        await using var peer = new RawPeer([.. "NBDMAGIC"u8, 0, 0, 0x42, 0x02, 0x81, 0x86, 0x12, 0x53, .. new byte[136]]);
        await Assert.ThrowsAsync<NbdConnectException>(() => OpenAsync(peer, NbdTlsMode.Require));
        await peer.ClientsLeftAsync();
        Assert.Empty(peer.Received);
    }

    [Fact]
    public async Task Rule39_replies_injected_behind_the_acknowledgement_count_for_nothing()
    {
        await using var peer = new RawPeer(
        [
            .. Greeting,
            .. Reply(NbdOption.StartTls, NbdOptionReplyType.Ack),
            .. Reply(NbdOption.StructuredReply, NbdOptionReplyType.Ack),
            .. Reply(NbdOption.Go, NbdOptionReplyType.Ack),
        ]);
        var error = await Assert.ThrowsAsync<NbdProtocolException>(() => OpenAsync(peer, NbdTlsMode.Require));
        Assert.Contains("tamper", error.Message, StringComparison.Ordinal);
        await peer.ClientsLeftAsync();
        Assert.Equal(HarmlessBytes, peer.Received.Length);
    }

    [Fact]
    public async Task Reply_to_another_option_in_place_of_the_acknowledgement_is_a_violation()
    {
        await using var peer = new RawPeer([.. Greeting, .. Reply(NbdOption.StructuredReply, NbdOptionReplyType.Ack)]);
        await Assert.ThrowsAsync<NbdProtocolException>(() => OpenAsync(peer, NbdTlsMode.Require));
        await peer.ClientsLeftAsync();
        Assert.Equal(HarmlessBytes, peer.Received.Length);
    }

    [Fact]
    public async Task Silence_after_the_acknowledgement_ends_at_the_deadline_of_the_handshake()
    {
        await using var peer = new RawPeer([.. Greeting, .. Reply(NbdOption.StartTls, NbdOptionReplyType.Ack)]);
        var error = await Assert.ThrowsAsync<NbdConnectException>(() => OpenAsync(peer, NbdTlsMode.Require, TimeSpan.FromMilliseconds(300)));
        Assert.Equal(NbdConnectFailure.HandshakeTimeout, error.Reason);
        Assert.Contains("TLS", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Rule33_refusal_lets_a_client_that_does_not_insist_go_on()
    {
        await using var peer = new RawPeer(
            [.. Greeting, .. Reply(NbdOption.StartTls, NbdOptionReplyType.ErrUnsup), .. Reply(NbdOption.Go, NbdOptionReplyType.ErrUnknown)]);
        await Assert.ThrowsAsync<NbdServerErrorException>(() => OpenAsync(peer, NbdTlsMode.Allow));
    }

    private static byte[] Reply(NbdOption option, NbdOptionReplyType type)
    {
        byte[] reply = new byte[NbdOptionReplyHeader.Size];
        NbdOptionReplyHeader.Write(reply, option, type, 0);
        return reply;
    }

    private static async Task OpenAsync(RawPeer peer, NbdTlsMode mode, TimeSpan? timeout = null)
    {
        // Without credentials, so that nothing but the peer can fail.
        var tls = new NbdTlsOptions { Mode = mode, Type = NbdTlsType.Anonymous };
        await using NbdTransport transport = NbdTransport.Create(
            NbdTarget.FromUri(NbdUri.Parse(peer.Uri)), new NbdTransportOptions { Tls = tls }, NullLogger.Instance);
        var handshake = new NbdHandshakeOptions { Timeout = timeout ?? Deadline.Default, WantStructuredReplies = false };
        (await Deadline.Within(transport.OpenAsync(handshake, TestContext.Current.CancellationToken), "the handshake")).Socket.Dispose();
    }
}
