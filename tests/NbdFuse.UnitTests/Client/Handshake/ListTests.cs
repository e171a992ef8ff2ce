using NbdFuse.Client;
using NbdFuse.Protocol;
using Xunit;

namespace NbdFuse.UnitTests.Client.Handshake;

/// <summary>NBD_OPT_LIST. Rule numbers of the project's protocol checklist.</summary>
public sealed class ListTests
{
    [Fact]
    public async Task Rules22_and_23_exports_come_with_or_without_description_and_the_option_has_no_data()
    {
        NbdListing listing = await HandshakeRun.ListAsync(peer =>
        {
            peer.Begin();
            Assert.Empty(peer.ExpectOption(NbdOption.List));
            peer.Reply(NbdOption.List, NbdOptionReplyType.Server, Wire.ListEntry(string.Empty));
            peer.Reply(NbdOption.List, NbdOptionReplyType.Server, Wire.ListEntry("a/b", "the\tsecond"));
            peer.Ack(NbdOption.List);
            peer.ExpectAbort();
        });
        Assert.Equal([string.Empty, "a/b"], listing.Exports.Select(export => export.Name));
        Assert.Equal([null, "thesecond"], listing.Exports.Select(export => export.Description));
        Assert.True(listing.StructuredReplies);
    }

    [Fact]
    public async Task Rule23_a_list_may_be_empty()
    {
        NbdListing listing = await HandshakeRun.ListAsync(peer =>
        {
            peer.Begin();
            peer.ExpectOption(NbdOption.List);
            peer.Ack(NbdOption.List);
            peer.ExpectAbort();
        });
        Assert.Empty(listing.Exports);
    }

    [Theory]
    [InlineData(NbdOptionReplyType.ErrPolicy)]
    [InlineData(NbdOptionReplyType.ErrUnsup)]
    [InlineData(NbdOptionReplyType.ErrShutdown)]
    public async Task Rule23_a_refused_list_is_reported_and_ends_with_ABORT(NbdOptionReplyType code)
    {
        NbdServerErrorException error = await Assert.ThrowsAsync<NbdServerErrorException>(() => HandshakeRun.ListAsync(peer =>
        {
            peer.Begin();
            peer.ExpectOption(NbdOption.List);
            peer.Reply(NbdOption.List, NbdOptionReplyType.Server, Wire.ListEntry("one"));
            peer.Refuse(NbdOption.List, code, "no");
            peer.ExpectAbort();
        }));
        Assert.Equal(code, error.Code);
        Assert.Equal(NbdOption.List, error.Option);
    }

    [Theory]
    [InlineData("")]
    [InlineData("0000")]
    [InlineData("00000002" + "61")] // The length of the name lies.
    [InlineData("00000001" + "ff")] // Not UTF-8.
    [InlineData("00000001" + "00")] // NUL.
    public async Task Rule23_a_malformed_entry_is_a_violation(string entry)
    {
        await Assert.ThrowsAsync<NbdProtocolException>(() => HandshakeRun.ListAsync(peer =>
        {
            peer.Begin();
            peer.ExpectOption(NbdOption.List);
            peer.Reply(NbdOption.List, NbdOptionReplyType.Server, Convert.FromHexString(entry));
            peer.ExpectEnd();
        }));
    }

    [Fact]
    public async Task Each_export_is_asked_about_and_one_refusal_does_not_hide_the_others()
    {
        NbdListing listing = await HandshakeRun.ListAsync(
            peer =>
            {
                peer.Begin();
                peer.ExpectOption(NbdOption.List);
                peer.Reply(NbdOption.List, NbdOptionReplyType.Server, Wire.ListEntry("secret"));
                peer.Reply(NbdOption.List, NbdOptionReplyType.Server, Wire.ListEntry("open"));
                peer.Ack(NbdOption.List);
                Assert.True(NbdOptionData.TryReadGo(peer.ExpectOption(NbdOption.Info), out string name, out _));
                Assert.Equal("secret", name);
                peer.Refuse(NbdOption.Info, NbdOptionReplyType.ErrTlsReqd);
                Assert.True(NbdOptionData.TryReadGo(peer.ExpectOption(NbdOption.Info), out name, out _));
                Assert.Equal("open", name);
                peer.InfoExport(NbdOption.Info, size: 77);
                peer.Ack(NbdOption.Info);
                peer.ExpectAbort();
            },
            withInfo: true);
        Assert.False(listing.InfoUnsupported);
        Assert.Null(listing.Exports[0].Info);
        Assert.Contains("TLS", listing.Exports[0].InfoError, StringComparison.Ordinal);
        Assert.Equal(77ul, listing.Exports[1].Info?.Size);
    }

    [Fact]
    public async Task A_server_without_INFO_is_asked_only_once()
    {
        NbdListing listing = await HandshakeRun.ListAsync(
            peer =>
            {
                peer.Begin();
                peer.ExpectOption(NbdOption.List);
                peer.Reply(NbdOption.List, NbdOptionReplyType.Server, Wire.ListEntry("one"));
                peer.Reply(NbdOption.List, NbdOptionReplyType.Server, Wire.ListEntry("two"));
                peer.Ack(NbdOption.List);
                peer.ExpectOption(NbdOption.Info);
                peer.Refuse(NbdOption.Info, NbdOptionReplyType.ErrUnsup);
                peer.ExpectAbort();
            },
            withInfo: true);
        Assert.True(listing.InfoUnsupported);
        Assert.Equal(2, listing.Exports.Count);
    }

    [Fact]
    public async Task More_exports_than_allowed_end_the_connection()
    {
        await FloodAsync(
            new NbdHandshakeOptions { MaxListedExports = 10 }, Wire.ListEntry("x"), maxSent: 16 * 1024 * 1024);
    }

    [Fact]
    public async Task More_bytes_of_exports_than_allowed_end_the_connection()
    {
        await FloodAsync(
            new NbdHandshakeOptions { MaxListBytes = 100_000 },
            Wire.ListEntry(new string('n', 4096), new string('d', 4096)),
            maxSent: 16 * 1024 * 1024);
    }

    private static async Task FloodAsync(NbdHandshakeOptions options, byte[] entry, long maxSent)
    {
        long sent = 0;
        NbdConnectException error = await Assert.ThrowsAsync<NbdConnectException>(() => HandshakeRun.ListAsync(
            peer =>
            {
                peer.Begin();
                peer.ExpectOption(NbdOption.List);
                byte[] message = new byte[NbdOptionReplyHeader.Size + entry.Length];
                NbdOptionReplyHeader.Write(message, NbdOption.List, NbdOptionReplyType.Server, (uint)entry.Length);
                entry.CopyTo(message, NbdOptionReplyHeader.Size);
                while (peer.Sent < maxSent && peer.TrySend(message))
                {
                    sent = peer.Sent;
                }
            },
            options: options));
        Assert.Equal(NbdConnectFailure.LimitExceeded, error.Reason);

        // The client stopped reading; the rest is what a socket buffers.
        Assert.True(sent < maxSent, $"{sent} bytes were taken");
    }
}
