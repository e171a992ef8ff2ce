using Microsoft.Extensions.Logging.Abstractions;
using NbdFuse.Client;
using NbdFuse.Native;
using NbdFuse.Protocol;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.UnitTests.Client.Handover;

/// <summary>Connections that somebody else will use.</summary>
public sealed class NbdHandoverTests
{
    private const NbdTransmissionFlags MultiConn = NbdTransmissionFlags.HasFlags | NbdTransmissionFlags.CanMultiConn;

    [Fact]
    public async Task Structured_replies_are_never_asked_for_and_block_sizes_are()
    {
        List<NbdOption> options = [];
        NbdInfoType[] infos = [];
        await using var server = new ScriptedNbdServer(async script =>
        {
            await script.SendGreeting();
            await script.ExpectClientFlags();
            ScriptedOption option = await script.ReadOption();
            options.Add(option.Option);
            infos = option.Infos;
            await script.SendInfoExport(option.Option, 1 << 20, NbdTransmissionFlags.HasFlags);
            await script.SendInfoBlockSize(option.Option, 512, 4096, 1 << 20);
            await script.SendAck(option.Option);
            await script.DiscardUntilClose();
        });
        await using NbdHandover handover = Create(server);

        using (NbdHandoverSockets sockets = await handover.ConnectAsync(4))
        {
            Assert.Single(sockets.Sockets);
            Assert.Equal(1ul << 20, sockets.Export.Size);
            Assert.Equal(new NbdBlockSizes(512, 4096, 1 << 20), sockets.Export.BlockSizes);
        }

        await server.Finished();
        Assert.Equal([NbdOption.Go], options);
        Assert.Equal([NbdInfoType.BlockSize], infos);
    }

    [Fact]
    public async Task First_byte_of_the_transmission_phase_is_left_for_the_new_owner()
    {
        var secret = new TaskCompletionSource();
        await using var server = new ScriptedNbdServer(async script =>
        {
            await script.Handshake(new ScriptedExport { Structured = false });
            await secret.Task;
            await script.SendAsync("now"u8.ToArray());
            await script.DiscardUntilClose();
        });
        await using NbdHandover handover = Create(server);

        using (NbdHandoverSockets sockets = await handover.ConnectAsync(1))
        {
            secret.SetResult();
            int fd = sockets.Sockets[0].Value;

            // Blocking, as the new owner expects: no waiting before.
            byte[] bytes = new byte[3];
            Assert.Equal(3, await Task.Run(() => Posix.Recv(fd, bytes, SocketConstants.MSG_WAITALL)));
            Assert.Equal("now"u8.ToArray(), bytes);
        }

        await server.Finished();
    }

    [Fact]
    public async Task Server_that_says_more_than_the_handshake_is_refused()
    {
        await using var server = new ScriptedNbdServer(async script =>
        {
            await script.SendGreeting();
            await script.ExpectClientFlags();
            ScriptedOption option = await script.ReadOption();

            // In one piece with the acknowledgement, so that it is there when the client looks.
            byte[] acknowledgement = new byte[NbdOptionReplyHeader.Size];
            NbdOptionReplyHeader.Write(acknowledgement, option.Option, NbdOptionReplyType.Ack, 0);
            await script.SendInfoExport(option.Option, 1 << 20, NbdTransmissionFlags.HasFlags);
            await script.SendAsync((byte[])[.. acknowledgement, 0x67]);
            await script.DiscardUntilClose();
        });
        await using NbdHandover handover = Create(server);

        NbdProtocolException error = await Assert.ThrowsAsync<NbdProtocolException>(() => handover.ConnectAsync(1));

        Assert.Contains("unasked", error.Message);
    }

    [Fact]
    public async Task Several_connections_come_when_the_server_allows_them()
    {
        await using var server = new ScriptedNbdServer(async script =>
        {
            await script.Handshake(new ScriptedExport { Structured = false, Flags = MultiConn });
            await script.DiscardUntilClose();
        });
        await using NbdHandover handover = Create(server);

        using (NbdHandoverSockets sockets = await handover.ConnectAsync(3))
        {
            Assert.Equal(3, sockets.Sockets.Count);
            using NbdHandoverSockets more = await handover.ConnectAgainAsync();
            Assert.Single(more.Sockets);
            more.SayGoodbye();
            sockets.SayGoodbye();
        }

        await server.Finished();
        Assert.Equal(4, server.Connections);
    }

    [Fact]
    public async Task Connections_of_different_exports_are_refused()
    {
        await using var server = new ScriptedNbdServer(async script =>
        {
            await script.Handshake(new ScriptedExport { Structured = false, Flags = MultiConn, Size = script.Index == 0 ? 1u << 20 : 1u << 21 });
            await script.DiscardUntilClose();
        });
        await using NbdHandover handover = Create(server);

        await Assert.ThrowsAsync<NbdProtocolException>(() => handover.ConnectAsync(2));
    }

    [Fact]
    public async Task Server_that_takes_no_second_client_gives_one_connection()
    {
        await using var server = new ScriptedNbdServer(async script =>
        {
            if (script.Index == 0)
            {
                await script.Handshake(new ScriptedExport { Structured = false, Flags = MultiConn });
                await script.DiscardUntilClose();
            }
        });
        await using NbdHandover handover = Create(server);

        using NbdHandoverSockets sockets = await handover.ConnectAsync(2);

        Assert.Single(sockets.Sockets);
    }

    [Fact]
    public void Commands_and_descriptors_are_refused_with_other_drivers_to_use()
    {
        NbdTarget[] targets =
        [
            new CommandTarget(["nbdkit", "-s", "null"]), new SocketActivationTarget(["nbdkit", "null"]), new DescriptorTarget(0),
        ];
        foreach (NbdTarget target in targets)
        {
            NbdConnectException error = Assert.Throws<NbdConnectException>(
                () => NbdHandover.Create(target, new NbdHandoverOptions(), NullLogger.Instance));

            Assert.Contains("ublk or fuse", error.Message);
        }
    }

    [Theory]
    [InlineData(RealServerKind.Nbdkit)]
    [InlineData(RealServerKind.QemuNbd)]
    [InlineData(RealServerKind.NbdServer)]
    public async Task Real_servers_give_connections_that_speak_simple_replies(RealServerKind kind)
    {
        await using RealServer server = await RealServers.StartAsync(kind, new RealServerOptions { Transport = ServerTransport.Tcp });
        await using NbdHandover handover = NbdHandover.Create(
            NbdTarget.FromUri(NbdUri.Parse(server.Uri)), new NbdHandoverOptions { ExportName = server.ExportName }, NullLogger.Instance);

        using NbdHandoverSockets sockets = await handover.ConnectAsync(1);

        int fd = sockets.Sockets[0].Value;
        byte[] request = new byte[NbdRequestHeader.Size];
        NbdRequestHeader.Write(request, NbdCommandFlags.None, NbdCommand.Read, cookie: 42, offset: 0, length: 512);
        Assert.Equal(request.Length, Posix.Send(fd, request));
        byte[] reply = new byte[16 + 512];
        Assert.Equal(reply.Length, await Task.Run(() => Posix.Recv(fd, reply, SocketConstants.MSG_WAITALL)));
        Assert.True(NbdSimpleReplyHeader.TryRead(reply, out NbdSimpleReplyHeader header));
        Assert.Equal(42ul, header.Cookie);
        sockets.SayGoodbye();
    }

    private static NbdHandover Create(ScriptedNbdServer server) =>
        NbdHandover.Create(NbdTarget.FromUri(NbdUri.Parse(server.Uri)), new NbdHandoverOptions(), NullLogger.Instance);
}
