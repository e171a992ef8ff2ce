using NbdFuse.Client;
using NbdFuse.Protocol;
using Xunit;

namespace NbdFuse.UnitTests.Client.Handshake;

/// <summary>Extended headers and metadata contexts in the handshake. The numbers are those of docs/PROTOCOL-SUPPORT.md.</summary>
public sealed class MetaContextTests
{
    private static readonly NbdHandshakeOptions Wanting = new()
    {
        WantExtendedHeaders = true,
        MetaContexts = [NbdMetaContextNames.BaseAllocation, NbdMetaContextNames.QemuAllocationDepth],
    };

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(int.MaxValue)]
    public async Task Rule40_Extended_headers_come_first_and_contexts_last_in_any_fragmentation(int writeSize)
    {
        NbdNegotiated result = await HandshakeRun.NegotiateAsync(
            peer =>
            {
                peer.WriteSize = writeSize;
                peer.Greet();
                Assert.Empty(peer.ExpectOption(NbdOption.ExtendedHeaders));
                peer.Ack(NbdOption.ExtendedHeaders);
                byte[] list = peer.ExpectOption(NbdOption.ListMetaContext);
                Assert.True(NbdMetaContextQuery.TryRead(list, out string name, out string[] queries));
                Assert.Equal("disk", name);
                Assert.Empty(queries);
                Context(peer, NbdOption.ListMetaContext, 0, "base:allocation");
                Context(peer, NbdOption.ListMetaContext, 0, "x-y:z");
                peer.Ack(NbdOption.ListMetaContext);
                byte[] set = peer.ExpectOption(NbdOption.SetMetaContext);
                Assert.True(NbdMetaContextQuery.TryRead(set, out name, out queries));
                Assert.Equal("disk", name);
                Assert.Equal(Wanting.MetaContexts, queries);
                Context(peer, NbdOption.SetMetaContext, 0xffffffff, "base:allocation");
                peer.Ack(NbdOption.SetMetaContext);
                peer.ExpectOption(NbdOption.Go);
                peer.InfoExport();
                peer.Ack();
                peer.ExpectEnd();
            },
            options: Wanting with { ListMetaContexts = true });
        Assert.True(result.ExtendedHeaders);
        Assert.True(result.StructuredReplies);
        Assert.Equal([new NbdMetaContext(0xffffffff, "base:allocation")], result.MetaContexts);
        Assert.Equal(["base:allocation", "x-y:z"], result.AvailableContexts);
    }

    [Theory]
    [InlineData(NbdOptionReplyType.ErrUnsup)]
    [InlineData(NbdOptionReplyType.ErrPolicy)]
    [InlineData((NbdOptionReplyType)0x80000077)]
    public async Task Rule41_Without_extended_headers_structured_replies_are_asked_for(NbdOptionReplyType refusal)
    {
        NbdNegotiated result = await HandshakeRun.NegotiateAsync(
            peer =>
            {
                peer.Greet();
                peer.ExpectOption(NbdOption.ExtendedHeaders);
                peer.Refuse(NbdOption.ExtendedHeaders, refusal, "no");
                peer.ExpectOption(NbdOption.StructuredReply);
                peer.Ack(NbdOption.StructuredReply);
                peer.ExpectOption(NbdOption.SetMetaContext);
                peer.Refuse(NbdOption.SetMetaContext, refusal, "no");
                Finish(peer);
            },
            options: Wanting);
        Assert.False(result.ExtendedHeaders);
        Assert.True(result.StructuredReplies);
        Assert.Empty(result.MetaContexts);
        Assert.Null(result.AvailableContexts);
    }

    [Fact]
    public async Task Rule78_Without_structured_replies_no_context_is_asked_for()
    {
        NbdNegotiated result = await HandshakeRun.NegotiateAsync(
            peer =>
            {
                peer.Greet();
                peer.ExpectOption(NbdOption.ExtendedHeaders);
                peer.Refuse(NbdOption.ExtendedHeaders, NbdOptionReplyType.ErrUnsup);
                peer.ExpectOption(NbdOption.StructuredReply);
                peer.Refuse(NbdOption.StructuredReply, NbdOptionReplyType.ErrUnsup);
                Finish(peer);
            },
            options: Wanting with { ListMetaContexts = true });
        Assert.False(result.StructuredReplies);
        Assert.Empty(result.MetaContexts);
        Assert.Null(result.AvailableContexts);
    }

    [Fact]
    public async Task Rule79_Contexts_that_came_before_an_error_are_dropped()
    {
        NbdNegotiated result = await HandshakeRun.NegotiateAsync(
            peer =>
            {
                peer.Begin();
                peer.ExpectOption(NbdOption.ListMetaContext);
                Context(peer, NbdOption.ListMetaContext, 1, "base:allocation");
                peer.Refuse(NbdOption.ListMetaContext, NbdOptionReplyType.ErrTooBig);
                peer.ExpectOption(NbdOption.SetMetaContext);
                Context(peer, NbdOption.SetMetaContext, 1, "base:allocation");
                peer.Refuse(NbdOption.SetMetaContext, NbdOptionReplyType.ErrInvalid);
                Finish(peer);
            },
            options: Wanting with { WantExtendedHeaders = false, ListMetaContexts = true });
        Assert.Empty(result.MetaContexts);
        Assert.Null(result.AvailableContexts);
    }

    [Theory]
    [InlineData("1 base:allocation", "1 x:y", "came twice")]
    [InlineData("1 base:allocation", "2 base:allocation", "came twice")]
    [InlineData("1 \u0000", null, "malformed metadata context")]
    public async Task Rule79_Contexts_that_cannot_be_told_apart_or_read_end_the_attempt(string first, string? second, string problem)
    {
        NbdProtocolException error = await HandshakeRun.FailsAsync<NbdProtocolException>(
            peer =>
            {
                peer.Begin();
                peer.ExpectOption(NbdOption.SetMetaContext);
                foreach (string context in new[] { first, second }.OfType<string>())
                {
                    string[] parts = context.Split(' ', 2);
                    byte[] data = [0, 0, 0, byte.Parse(parts[0], System.Globalization.CultureInfo.InvariantCulture), .. System.Text.Encoding.UTF8.GetBytes(parts[1])];
                    peer.Reply(NbdOption.SetMetaContext, NbdOptionReplyType.MetaContext, data);
                }

                peer.ExpectEnd();
            },
            options: Wanting with { WantExtendedHeaders = false });
        Assert.Contains(problem, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Rule54_Contexts_without_end_are_given_up()
    {
        NbdConnectException error = await HandshakeRun.FailsAsync<NbdConnectException>(
            peer =>
            {
                peer.Begin();
                peer.ExpectOption(NbdOption.SetMetaContext);
                uint id = 0;
                byte[] data;
                do
                {
                    string name = $"x:{id}";
                    data = new byte[NbdMetaContext.GetSize(name)];
                    NbdMetaContext.Write(data, id++, name);
                }
                while (peer.TrySend(Message(data)));
            },
            options: Wanting with { WantExtendedHeaders = false });
        Assert.Equal(NbdConnectFailure.LimitExceeded, error.Reason);
    }

    [Fact]
    public async Task Rule21_Shutdown_in_answer_to_a_context_ends_the_attempt_politely()
    {
        NbdServerErrorException error = await HandshakeRun.FailsAsync<NbdServerErrorException>(
            peer =>
            {
                peer.Begin();
                peer.ExpectOption(NbdOption.SetMetaContext);
                peer.Refuse(NbdOption.SetMetaContext, NbdOptionReplyType.ErrShutdown);
                peer.ExpectAbort();
            },
            options: Wanting with { WantExtendedHeaders = false });
        Assert.Equal(NbdOptionReplyType.ErrShutdown, error.Code);
    }

    [Fact]
    public async Task Rule91_Server_with_extended_headers_must_know_GO()
    {
        NbdProtocolException error = await HandshakeRun.FailsAsync<NbdProtocolException>(
            peer =>
            {
                peer.Greet();
                peer.ExpectOption(NbdOption.ExtendedHeaders);
                peer.Ack(NbdOption.ExtendedHeaders);
                peer.ExpectOption(NbdOption.Go);
                peer.Refuse(NbdOption.Go, NbdOptionReplyType.ErrUnsup);
                peer.ExpectEnd();
            },
            options: Wanting with { MetaContexts = [] });
        Assert.Contains("NBD_OPT_GO", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Rule89_The_goodbye_after_extended_headers_is_extended()
    {
        await HandshakeRun.NegotiateAsync(
            peer =>
            {
                peer.Greet();
                peer.ExpectOption(NbdOption.ExtendedHeaders);
                peer.Ack(NbdOption.ExtendedHeaders);
                peer.ExpectOption(NbdOption.Info);
                peer.Refuse(NbdOption.Info, NbdOptionReplyType.ErrUnsup);
                peer.ExpectOption(NbdOption.Go);
                peer.InfoExport();
                peer.Ack();
                Assert.True(NbdExtendedRequestHeader.TryRead(peer.Read(NbdExtendedRequestHeader.Size), out NbdExtendedRequestHeader request));
                Assert.Equal(NbdCommand.Disc, request.Command);
                peer.ExpectEnd();
            },
            options: Wanting with { MetaContexts = [], Goal = NbdHandshakeGoal.Info });
    }

    [Fact]
    public async Task Nobody_asks_for_what_is_not_wanted()
    {
        NbdNegotiated result = await HandshakeRun.NegotiateAsync(peer =>
        {
            peer.Begin();
            Finish(peer);
        });
        Assert.False(result.ExtendedHeaders);
        Assert.Empty(result.MetaContexts);
    }

    private static void Context(ScriptedPeer peer, NbdOption option, uint id, string name)
    {
        byte[] data = new byte[NbdMetaContext.GetSize(name)];
        NbdMetaContext.Write(data, id, name);
        peer.Reply(option, NbdOptionReplyType.MetaContext, data);
    }

    private static byte[] Message(byte[] data)
    {
        byte[] message = new byte[NbdOptionReplyHeader.Size + data.Length];
        NbdOptionReplyHeader.Write(message, NbdOption.SetMetaContext, NbdOptionReplyType.MetaContext, (uint)data.Length);
        data.CopyTo(message.AsSpan(NbdOptionReplyHeader.Size));
        return message;
    }

    private static void Finish(ScriptedPeer peer)
    {
        peer.ExpectOption(NbdOption.Go);
        peer.InfoExport();
        peer.Ack();
        peer.ExpectEnd();
    }
}
