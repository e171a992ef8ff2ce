using System.Buffers.Binary;
using NbdFuse.Client;
using NbdFuse.Protocol;
using Xunit;

namespace NbdFuse.UnitTests.Client.Handshake;

/// <summary>Replies to options: order, frame, errors, the end. Rule numbers of the project's protocol checklist.</summary>
public sealed class OptionReplyTests
{
    [Fact]
    public async Task Rule11_no_option_is_sent_before_the_final_reply_to_the_last_one()
    {
        NbdConnectException error = await HandshakeRun.FailsAsync<NbdConnectException>(
            peer =>
            {
                peer.Begin();
                peer.ExpectOption(NbdOption.Go);
                peer.InfoExport();

                // The acknowledgement never comes: not even NBD_OPT_ABORT may be sent now.
                peer.ExpectEnd();
            },
            options: new NbdHandshakeOptions { Timeout = TimeSpan.FromSeconds(3) });
        Assert.Equal(NbdConnectFailure.HandshakeTimeout, error.Reason);
        Assert.Contains("NBD_OPT_GO", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Rule12_structured_replies_are_asked_for_once_also_when_falling_back()
    {
        int asked = 0;
        await HandshakeRun.NegotiateAsync(peer =>
        {
            peer.Greet();
            while (true)
            {
                (NbdOption option, _) = peer.ReadOption();
                if (option == NbdOption.ExportName)
                {
                    break;
                }

                asked += option == NbdOption.StructuredReply ? 1 : 0;
                peer.Refuse(option, NbdOptionReplyType.ErrUnsup);
            }

            peer.Send(Wire.ExportNameReply(512, NbdTransmissionFlags.HasFlags, withZeroes: false));
            peer.ExpectEnd();
        });
        Assert.Equal(1, asked);
    }

    [Fact]
    public Task Rule13_wrong_magic_of_a_reply_ends_the_handshake() => ViolationAsync(peer =>
    {
        byte[] reply = new byte[NbdOptionReplyHeader.Size];
        NbdOptionReplyHeader.Write(reply, NbdOption.Go, NbdOptionReplyType.Ack, 0);
        reply[7]++;
        peer.Send(reply);
    });

    [Fact]
    public Task Rule13_wrong_echoed_option_ends_the_handshake() =>
        ViolationAsync(peer => peer.Reply(NbdOption.Info, NbdOptionReplyType.ErrUnsup));

    [Fact]
    public Task Rule13_an_acknowledgement_with_data_ends_the_handshake() => ViolationAsync(peer =>
    {
        peer.InfoExport();
        peer.Reply(NbdOption.Go, NbdOptionReplyType.Ack, 0);
    });

    [Theory]
    [InlineData(64 * 1024 + 1)]
    [InlineData(uint.MaxValue)]
    public Task Rule13_a_reply_too_long_ends_the_handshake_before_its_data_comes(uint length) => ViolationAsync(peer =>
    {
        byte[] reply = new byte[NbdOptionReplyHeader.Size];
        NbdOptionReplyHeader.Write(reply, NbdOption.Go, NbdOptionReplyType.Info, length);
        peer.Send(reply);
    });

    [Theory]
    [InlineData(NbdOptionReplyType.Server)]
    [InlineData(NbdOptionReplyType.MetaContext)]
    [InlineData((NbdOptionReplyType)0)]
    [InlineData((NbdOptionReplyType)0x7fffffff)]
    public Task Rule13_a_kind_of_reply_that_does_not_belong_to_the_option_ends_the_handshake(NbdOptionReplyType type) =>
        ViolationAsync(peer => peer.Reply(NbdOption.Go, type));

    [Theory]
    [InlineData(NbdHandshakeFlags.FixedNewstyle, true)]
    [InlineData(NbdHandshakeFlags.FixedNewstyle | NbdHandshakeFlags.NoZeroes, false)]
    public async Task Rules14_and_15_GO_unknown_falls_back_to_EXPORT_NAME_with_or_without_zeroes(
        NbdHandshakeFlags flags, bool withZeroes)
    {
        const NbdTransmissionFlags Flags = NbdTransmissionFlags.HasFlags | NbdTransmissionFlags.ReadOnly;
        byte[] after = "transmission"u8.ToArray();
        byte[] rest = new byte[64];
        int restLength = 0;
        NbdNegotiated result = await HandshakeRun.RunAsync(
            async socket =>
            {
                NbdNegotiated negotiated = await NbdHandshake.NegotiateAsync(
                    socket,
                    new NbdHandshakeOptions { ExportName = "disk" },
                    Microsoft.Extensions.Logging.Abstractions.NullLogger.Instance);
                restLength = NbdFuse.Native.Posix.Recv(socket.Value, rest);
                return negotiated;
            },
            peer =>
            {
                peer.Greet(flags);
                peer.ExpectOption(NbdOption.StructuredReply);
                peer.Ack(NbdOption.StructuredReply);
                peer.ExpectOption(NbdOption.Go);
                peer.Refuse(NbdOption.Go, NbdOptionReplyType.ErrUnsup, "what is that");
                Assert.Equal("disk"u8.ToArray(), peer.ExpectOption(NbdOption.ExportName));
                peer.Send([.. Wire.ExportNameReply(1 << 30, Flags, withZeroes), .. after]);
                peer.ExpectEnd();
            });
        Assert.Equal(1ul << 30, result.Export.Size);
        Assert.Equal(Flags, result.Export.Flags);
        Assert.True(result.FixedNewstyle);
        Assert.False(result.UsedOptGo);
        Assert.True(result.StructuredReplies);
        Assert.Equal(after, rest[..restLength]);
    }

    [Fact]
    public async Task Rule14_a_close_in_answer_to_EXPORT_NAME_means_there_is_no_such_export()
    {
        NbdConnectException error = await HandshakeRun.FailsAsync<NbdConnectException>(peer =>
        {
            peer.Greet(NbdHandshakeFlags.None);
            peer.ExpectOption(NbdOption.ExportName);
            peer.Close();
        });
        Assert.Equal(NbdConnectFailure.ClosedByServer, error.Reason);
        Assert.Contains("\"disk\"", error.Message, StringComparison.Ordinal);
        Assert.Contains("no such export", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Rule16_the_empty_name_asks_for_the_default_export()
    {
        NbdNegotiated result = await HandshakeRun.NegotiateAsync(
            peer =>
            {
                peer.Begin();
                byte[] data = peer.ExpectOption(NbdOption.Go);
                Assert.Equal(0u, BinaryPrimitives.ReadUInt32BigEndian(data));
                peer.InfoExport();
                peer.Info(NbdOption.Go, Wire.Text(NbdInfoType.Name, "real"));
                peer.Ack();
                peer.ExpectEnd();
            },
            string.Empty);
        Assert.Equal(string.Empty, result.Export.Name);
        Assert.Equal("real", result.Export.CanonicalName);
    }

    [Fact]
    public async Task Rule17_a_refused_handshake_ends_with_ABORT()
    {
        NbdServerErrorException error = await RefusedAsync(NbdOptionReplyType.ErrPolicy, "go away");
        Assert.Equal(NbdOption.Go, error.Option);
        Assert.Equal("go away", error.ServerText);
    }

    [Fact]
    public Task Rule18_a_violation_ends_the_connection_without_another_word() =>
        // ViolationAsync expects the end right after the violation.
        ViolationAsync(peer => peer.Ack());

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Rule20_the_server_may_close_instead_of_answering_ABORT(bool reads)
    {
        NbdServerErrorException error = await HandshakeRun.FailsAsync<NbdServerErrorException>(peer =>
        {
            peer.Begin();
            peer.ExpectOption(NbdOption.Go);
            peer.Refuse(NbdOption.Go, NbdOptionReplyType.ErrUnknown);
            if (reads)
            {
                Assert.Empty(peer.ExpectOption(NbdOption.Abort));
            }

            peer.Close();
        });
        Assert.Equal(NbdOptionReplyType.ErrUnknown, error.Code);
    }

    [Fact]
    public async Task Rule21_ERR_SHUTDOWN_to_structured_replies_ends_with_ABORT()
    {
        NbdServerErrorException error = await HandshakeRun.FailsAsync<NbdServerErrorException>(peer =>
        {
            peer.Begin(NbdOptionReplyType.ErrShutdown);
            peer.ExpectAbort();
        });
        Assert.Equal(NbdOptionReplyType.ErrShutdown, error.Code);
    }

    [Fact]
    public Task Rule21_ERR_SHUTDOWN_to_GO_ends_with_ABORT() => RefusedAsync(NbdOptionReplyType.ErrShutdown, "maintenance");

    [Fact]
    public async Task Rule22_structured_replies_are_asked_for_without_data()
    {
        await HandshakeRun.NegotiateAsync(peer =>
        {
            peer.Greet();
            Assert.Empty(peer.ExpectOption(NbdOption.StructuredReply));
            peer.Ack(NbdOption.StructuredReply);
            peer.ExpectOption(NbdOption.Go);
            peer.InfoExport();
            peer.Ack();
            peer.ExpectEnd();
        });
    }

    [Fact]
    public async Task Rules27_and_28_after_GO_not_a_byte_more_is_read_or_sent()
    {
        byte[] after = [0x67, 0x44, 0x66, 0x98, 1, 2, 3];
        byte[] rest = new byte[64];
        int restLength = 0;
        await HandshakeRun.RunAsync(
            async socket =>
            {
                NbdNegotiated negotiated = await NbdHandshake.NegotiateAsync(
                    socket, new NbdHandshakeOptions(), Microsoft.Extensions.Logging.Abstractions.NullLogger.Instance);
                restLength = NbdFuse.Native.Posix.Recv(socket.Value, rest);
                return negotiated;
            },
            peer =>
            {
                // Without NO_ZEROES: GO never has the zeroes of EXPORT_NAME.
                peer.Greet(NbdHandshakeFlags.FixedNewstyle);
                peer.ExpectOption(NbdOption.StructuredReply);
                peer.Ack(NbdOption.StructuredReply);
                peer.ExpectOption(NbdOption.Go);
                peer.InfoExport();
                byte[] ack = new byte[NbdOptionReplyHeader.Size];
                NbdOptionReplyHeader.Write(ack, NbdOption.Go, NbdOptionReplyType.Ack, 0);
                peer.Send([.. ack, .. after]);
                peer.ExpectEnd();
            });
        Assert.Equal(after, rest[..restLength]);
    }

    [Fact]
    public async Task Rule30_an_INFO_that_is_unknown_is_replaced_by_GO_and_DISC_and_the_answers_of_GO_count()
    {
        NbdNegotiated result = await HandshakeRun.NegotiateAsync(
            peer =>
            {
                peer.Begin();
                peer.ExpectOption(NbdOption.Info);
                peer.InfoExport(NbdOption.Info, size: 1);
                peer.Refuse(NbdOption.Info, NbdOptionReplyType.ErrUnsup);
                peer.ExpectOption(NbdOption.Go);
                peer.InfoExport(size: 2);
                peer.Ack();
                Assert.True(NbdRequestHeader.TryRead(peer.Read(NbdRequestHeader.Size), out NbdRequestHeader request));
                Assert.Equal(NbdCommand.Disc, request.Command);
                peer.ExpectEnd();
            },
            options: new NbdHandshakeOptions { Goal = NbdHandshakeGoal.Info });
        Assert.Equal(2ul, result.Export.Size);
        Assert.True(result.UsedOptGo);
    }

    [Fact]
    public async Task Asking_for_information_ends_with_ABORT()
    {
        NbdNegotiated result = await HandshakeRun.NegotiateAsync(
            peer =>
            {
                peer.Begin();
                peer.ExpectOption(NbdOption.Info);
                peer.InfoExport(NbdOption.Info);
                peer.Ack(NbdOption.Info);
                peer.ExpectAbort();
            },
            options: new NbdHandshakeOptions { Goal = NbdHandshakeGoal.Info });
        Assert.Equal(1ul << 20, result.Export.Size);
    }

    [Theory]
    [InlineData(NbdOptionReplyType.ErrUnsup)]
    [InlineData(NbdOptionReplyType.ErrPolicy)]
    [InlineData(NbdOptionReplyType.ErrInvalid)]
    [InlineData((NbdOptionReplyType)0x80001234)]
    public async Task Rule41_structured_replies_refused_means_simple_ones(NbdOptionReplyType refusal)
    {
        NbdNegotiated result = await HandshakeRun.NegotiateAsync(peer =>
        {
            peer.Begin(refusal);
            peer.ExpectOption(NbdOption.Go);
            peer.InfoExport();
            peer.Ack();
            peer.ExpectEnd();
        });
        Assert.False(result.StructuredReplies);
        Assert.True(result.UsedOptGo);
    }

    [Fact]
    public async Task Structured_replies_that_are_not_wanted_are_not_asked_for()
    {
        NbdNegotiated result = await HandshakeRun.NegotiateAsync(
            peer =>
            {
                peer.Greet();
                peer.ExpectOption(NbdOption.Go);
                peer.InfoExport();
                peer.Ack();
                peer.ExpectEnd();
            },
            options: new NbdHandshakeOptions { WantStructuredReplies = false });
        Assert.False(result.StructuredReplies);
    }

    [Theory]
    [InlineData(NbdOptionReplyType.ErrPolicy)] // Rule 42.
    [InlineData(NbdOptionReplyType.ErrInvalid)]
    [InlineData(NbdOptionReplyType.ErrPlatform)]
    [InlineData(NbdOptionReplyType.ErrUnknown)] // Rule 43.
    [InlineData(NbdOptionReplyType.ErrBlockSizeReqd)] // Rule 44: asked for, and still not content.
    [InlineData(NbdOptionReplyType.ErrTooBig)]
    [InlineData(NbdOptionReplyType.ErrExtHeaderReqd)]
    [InlineData((NbdOptionReplyType)0x80000999)]
    [InlineData((NbdOptionReplyType)0xffffffff)]
    public async Task Rules42_to_45_each_error_is_reported_with_its_name_and_the_server_s_text(NbdOptionReplyType code)
    {
        NbdServerErrorException error = await RefusedAsync(code, "reason of the server");
        Assert.Equal(code, error.Code);
        Assert.Contains(NbdNames.Of(code), error.Message, StringComparison.Ordinal);
        Assert.Contains("reason of the server", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Rule43_a_server_that_requires_TLS_is_reported_as_that()
    {
        NbdConnectException error = await HandshakeRun.FailsAsync<NbdConnectException>(peer =>
        {
            peer.Begin(NbdOptionReplyType.ErrTlsReqd);
            peer.ExpectOption(NbdOption.Go);
            peer.Refuse(NbdOption.Go, NbdOptionReplyType.ErrTlsReqd, "encrypt!");
            peer.ExpectAbort();
        });
        Assert.Equal(NbdConnectFailure.TlsRequired, error.Reason);
        Assert.Contains("encrypt!", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Rule44_ERR_BLOCK_SIZE_REQD_is_answered_by_asking_for_block_sizes()
    {
        NbdNegotiated result = await HandshakeRun.NegotiateAsync(
            peer =>
            {
                peer.Begin();
                Assert.DoesNotContain(NbdInfoType.BlockSize, ReadInfos(peer));
                peer.Refuse(NbdOption.Go, NbdOptionReplyType.ErrBlockSizeReqd);
                Assert.Contains(NbdInfoType.BlockSize, ReadInfos(peer));
                peer.Info(NbdOption.Go, Wire.BlockSize(4096, 4096, 65536));
                peer.InfoExport();
                peer.Ack();
                peer.ExpectEnd();
            },
            options: new NbdHandshakeOptions { WantBlockSizes = false });
        Assert.Equal(new NbdBlockSizes(4096, 4096, 65536), result.Export.BlockSizes);
    }

    [Fact]
    public async Task Rule45_control_characters_of_the_server_s_text_do_not_reach_the_user()
    {
        NbdServerErrorException error = await RefusedAsync(NbdOptionReplyType.ErrPolicy, "a\u001b[31mb\nc\u202ed");
        Assert.Equal("a[31mbcd", error.ServerText);
    }

    private static NbdInfoType[] ReadInfos(ScriptedPeer peer)
    {
        Assert.True(NbdOptionData.TryReadGo(peer.ExpectOption(NbdOption.Go), out _, out NbdInfoType[] infos));
        return infos;
    }

    private static Task<NbdServerErrorException> RefusedAsync(NbdOptionReplyType code, string text) =>
        HandshakeRun.FailsAsync<NbdServerErrorException>(peer =>
        {
            peer.Begin();
            peer.ExpectOption(NbdOption.Go);
            peer.Refuse(NbdOption.Go, code, text);
            peer.ExpectAbort();
        });

    private static async Task ViolationAsync(Action<ScriptedPeer> violation)
    {
        NbdProtocolException error = await HandshakeRun.FailsAsync<NbdProtocolException>(peer =>
        {
            peer.Begin();
            peer.ExpectOption(NbdOption.Go);
            violation(peer);
            peer.ExpectEnd();
        });
        Assert.NotEmpty(error.Rule);
    }
}
