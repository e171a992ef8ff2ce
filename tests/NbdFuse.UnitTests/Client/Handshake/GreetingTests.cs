using System.Text;
using NbdFuse.Client;
using NbdFuse.Protocol;
using Xunit;

namespace NbdFuse.UnitTests.Client.Handshake;

/// <summary>Greeting and flags; rule numbers are those of the project's protocol checklist.</summary>
public sealed class GreetingTests
{
    [Fact]
    public async Task Rule02_a_name_that_is_no_string_of_the_protocol_is_refused_before_anything_is_sent()
    {
        foreach (string name in (string[])["a\0b", "half \ud800"])
        {
            NbdConnectException error = await HandshakeRun.FailsAsync<NbdConnectException>(peer => peer.ExpectEnd(), name);
            Assert.Equal(NbdConnectFailure.InvalidExportName, error.Reason);
        }
    }

    [Fact]
    public async Task Rule02_a_name_of_4096_bytes_is_sent_and_one_more_is_refused()
    {
        string longest = new('x', 4096);
        NbdNegotiated result = await HandshakeRun.NegotiateAsync(
            peer =>
            {
                peer.Begin();
                Assert.True(NbdOptionData.TryReadGo(peer.ExpectOption(NbdOption.Go), out string name, out _));
                Assert.Equal(longest, name);
                peer.InfoExport();
                peer.Ack();
                peer.ExpectEnd();
            },
            longest);
        Assert.Equal(longest, result.Export.Name);
        NbdConnectException error = await HandshakeRun.FailsAsync<NbdConnectException>(peer => peer.ExpectEnd(), longest + "x");
        Assert.Contains("4096", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Rule03_all_that_the_client_sends_is_big_endian_and_nothing_more()
    {
        byte[] sent = [];
        await HandshakeRun.NegotiateAsync(
            peer =>
            {
                peer.Begin();
                peer.ExpectOption(NbdOption.Go);
                peer.InfoExport();
                peer.Ack();
                peer.ExpectEnd();
                sent = peer.Received.ToArray();
            },
            "ab");
        Assert.Equal(
            "00000003"
            + "49484156454f505400000008" + "00000000"
            + "49484156454f505400000007" + "0000000e" + "000000026162" + "0003" + "0003" + "0001" + "0002",
            Convert.ToHexStringLower(sent));
    }

    [Fact]
    public async Task Rule04_an_oldstyle_server_is_recognised_and_refused()
    {
        NbdConnectException error = await HandshakeRun.FailsAsync<NbdConnectException>(peer =>
        {
            // NBDMAGIC, cliserv_magic, size, flags, 124 zeroes.
            peer.Send(Convert.FromHexString("4e42444d4147494300004202818612530000000000100000" + "00000001"));
            peer.TrySend(new byte[124]);
            peer.ExpectEnd();
        });
        Assert.Equal(NbdConnectFailure.OldstyleServer, error.Reason);
        Assert.Contains("oldstyle", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")]
    [InlineData("HTTP/1.1 400 Bad Request\r\n\r\n")]
    [InlineData("N")]
    [InlineData("NBDMAGIC\0\0\0\0\0\0\0\0")]
    public async Task Rule05_a_server_of_another_protocol_is_named_by_its_first_bytes(string banner)
    {
        NbdConnectException error = await HandshakeRun.FailsAsync<NbdConnectException>(peer =>
        {
            peer.Send(Encoding.ASCII.GetBytes(banner == "N" ? "NO" : banner));
            peer.ExpectEnd();
        });
        Assert.Equal(NbdConnectFailure.NotNbd, error.Reason);
        Assert.Contains("not an NBD server", error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\r', error.Message);
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(3, 3)]
    [InlineData(0xffff, 3)] // Rule 6: unknown flags are ignored.
    [InlineData(0x8001, 1)]
    public async Task Rules06_to_09_the_client_flags_are_what_was_offered_and_is_known(int offered, uint answered)
    {
        uint flags = 0;
        await HandshakeRun.NegotiateAsync(peer =>
        {
            peer.SendGreeting((NbdHandshakeFlags)offered);
            flags = peer.ReadClientFlags();
            peer.ExpectOption(NbdOption.StructuredReply);
            peer.Ack(NbdOption.StructuredReply);
            peer.ExpectOption(NbdOption.Go);
            peer.InfoExport();
            peer.Ack();
            peer.ExpectEnd();
        });
        Assert.Equal(answered, flags);
    }

    [Theory]
    [InlineData(0, 0u, true)]
    [InlineData(2, 2u, false)]
    [InlineData(0xfffe, 2u, false)]
    public async Task Rule10_a_server_without_fixed_newstyle_gets_one_EXPORT_NAME_and_nothing_else(
        int offered, uint answered, bool withZeroes)
    {
        NbdNegotiated result = await HandshakeRun.NegotiateAsync(peer =>
        {
            peer.SendGreeting((NbdHandshakeFlags)offered);
            Assert.Equal(answered, peer.ReadClientFlags());
            Assert.Equal("disk"u8.ToArray(), peer.ExpectOption(NbdOption.ExportName));
            peer.Send(Wire.ExportNameReply(4096, NbdTransmissionFlags.HasFlags, withZeroes));
            peer.ExpectEnd();
        });
        Assert.False(result.FixedNewstyle);
        Assert.False(result.UsedOptGo);
        Assert.False(result.StructuredReplies);
        Assert.Equal(4096ul, result.Export.Size);
        Assert.Equal("newstyle", result.ProtocolName);
    }

    [Fact]
    public async Task Rule10_a_server_without_fixed_newstyle_cannot_be_listed()
    {
        NbdConnectException error = await Assert.ThrowsAsync<NbdConnectException>(() => HandshakeRun.ListAsync(peer =>
        {
            peer.Greet(NbdHandshakeFlags.None);
            peer.ExpectEnd();
        }));
        Assert.Equal(NbdConnectFailure.NotFixedNewstyle, error.Reason);
    }

    [Fact]
    public async Task Rule10_asking_about_an_export_of_a_server_without_options_ends_with_DISC()
    {
        NbdNegotiated result = await HandshakeRun.NegotiateAsync(
            peer =>
            {
                peer.Greet(NbdHandshakeFlags.None);
                peer.ExpectOption(NbdOption.ExportName);
                peer.Send(Wire.ExportNameReply(4096, NbdTransmissionFlags.HasFlags, withZeroes: true));
                Assert.True(NbdRequestHeader.TryRead(peer.Read(NbdRequestHeader.Size), out NbdRequestHeader request));
                Assert.Equal(NbdCommand.Disc, request.Command);
                peer.ExpectEnd();
            },
            options: new NbdHandshakeOptions { Goal = NbdHandshakeGoal.Info });
        Assert.Equal(4096ul, result.Export.Size);
    }

    [Fact]
    public async Task A_server_that_closes_without_a_greeting_is_reported_as_that()
    {
        NbdConnectException error = await HandshakeRun.FailsAsync<NbdConnectException>(peer => peer.Close());
        Assert.Equal(NbdConnectFailure.ClosedByServer, error.Reason);
        Assert.Contains("without a greeting", error.Message, StringComparison.Ordinal);
    }
}
