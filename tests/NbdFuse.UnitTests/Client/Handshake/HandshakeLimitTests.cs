using NbdFuse.Client;
using NbdFuse.Native;
using NbdFuse.Protocol;
using Xunit;

namespace NbdFuse.UnitTests.Client.Handshake;

/// <summary>Fragmented, silent, endless and breaking servers.</summary>
public sealed class HandshakeLimitTests
{
    /// <summary>The steps of a handshake that a silent or breaking server can leave out.</summary>
    public static TheoryData<int> Steps => [0, 1, 2, 3, 4];

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(7)]
    [InlineData(19)]
    [InlineData(21)]
    public async Task A_handshake_in_fragments_of_any_size_gives_the_same_result(int writeSize)
    {
        NbdNegotiated result = await HandshakeRun.NegotiateAsync(peer =>
        {
            peer.WriteSize = writeSize;
            PlaySteps(peer, int.MaxValue);
            peer.ExpectEnd();
        });
        Assert.Equal(1ul << 20, result.Export.Size);
        Assert.Equal("hello", result.Export.Description);
        Assert.Equal(new NbdBlockSizes(1, 4096, 65536), result.Export.BlockSizes);
        Assert.True(result.StructuredReplies);
    }

    [Fact]
    public async Task A_handshake_cut_off_after_any_byte_is_an_error_and_no_hang()
    {
        byte[] stream = await GoldenAsync();
        for (int length = 0; length < stream.Length; length++)
        {
            NbdConnectException error = await HandshakeRun.FailsAsync<NbdConnectException>(peer =>
            {
                // The client's questions need not be awaited: it reads its answers in order.
                peer.TrySend(stream.AsSpan(0, length));
                peer.Close();
            });
            Assert.Equal(NbdConnectFailure.ClosedByServer, error.Reason);
        }
    }

    [Fact]
    public async Task A_handshake_with_any_bit_flipped_ends_in_a_result_or_an_error_of_ours()
    {
        byte[] stream = await GoldenAsync();
        for (int bit = 0; bit < stream.Length * 8; bit++)
        {
            byte[] broken = (byte[])stream.Clone();
            broken[bit / 8] ^= (byte)(1 << (bit % 8));
            try
            {
                await HandshakeRun.NegotiateAsync(peer =>
                {
                    peer.TrySend(broken);
                    peer.Close();
                });
            }
            catch (NbdException)
            {
                // One of the documented errors: what the test asks for. Anything else fails it.
            }
        }
    }

    [Fact]
    public async Task A_server_that_falls_silent_at_any_step_meets_the_deadline()
    {
        byte[] stream = await GoldenAsync();
        foreach (int length in (int[])[0, 1, 17, 18, 37, 38, 39, 58, stream.Length - 1])
        {
            NbdConnectException error = await HandshakeRun.FailsAsync<NbdConnectException>(
                peer => peer.TrySend(stream.AsSpan(0, length)),
                options: new NbdHandshakeOptions { Timeout = TimeSpan.FromMilliseconds(100) });
            Assert.Equal(NbdConnectFailure.HandshakeTimeout, error.Reason);
        }
    }

    [Theory]
    [MemberData(nameof(Steps))]
    public async Task A_server_that_closes_at_any_step_is_reported_with_the_step(int steps)
    {
        NbdConnectException error = await HandshakeRun.FailsAsync<NbdConnectException>(peer =>
        {
            PlaySteps(peer, steps);
            peer.Close();
        });
        Assert.Equal(NbdConnectFailure.ClosedByServer, error.Reason);
        Assert.Contains(
            steps switch { 0 => "greeting", 1 => "NBD_OPT_STRUCTURED_REPLY", _ => "NBD_OPT_GO" }, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_slow_drip_does_not_extend_the_deadline()
    {
        NbdConnectException error = await HandshakeRun.FailsAsync<NbdConnectException>(
            peer =>
            {
                // The client's questions are not awaited: a slow machine must not make the script the late one.
                peer.SendGreeting(ScriptedPeer.Modern);
                peer.Ack(NbdOption.StructuredReply);
                byte[] info = Wire.Info(0x7777, new byte[64]);
                byte[] header = new byte[NbdOptionReplyHeader.Size];
                NbdOptionReplyHeader.Write(header, NbdOption.Go, NbdOptionReplyType.Info, (uint)info.Length);

                // Each message is progress; only the whole has a deadline.
                while (peer.TrySend(header) && peer.TrySend(info))
                {
                    Thread.Sleep(1);
                }
            },
            options: new NbdHandshakeOptions { Timeout = TimeSpan.FromMilliseconds(300), MaxBytes = int.MaxValue });
        Assert.Equal(NbdConnectFailure.HandshakeTimeout, error.Reason);
    }

    [Fact]
    public async Task A_flood_of_information_meets_the_limit_of_bytes_and_takes_no_memory()
    {
        const int Limit = 1_000_000;
        long sent = 0;
        long before = GC.GetTotalMemory(forceFullCollection: true);
        NbdConnectException error = await HandshakeRun.FailsAsync<NbdConnectException>(
            peer =>
            {
                peer.Begin();
                peer.ExpectOption(NbdOption.Go);
                byte[] info = Wire.Info(0x7777, new byte[60_000]);
                byte[] message = new byte[NbdOptionReplyHeader.Size + info.Length];
                NbdOptionReplyHeader.Write(message, NbdOption.Go, NbdOptionReplyType.Info, (uint)info.Length);
                info.CopyTo(message, NbdOptionReplyHeader.Size);
                while (peer.Sent < 64 * Limit && peer.TrySend(message))
                {
                    sent = peer.Sent;
                }
            },
            options: new NbdHandshakeOptions { MaxBytes = Limit });
        Assert.Equal(NbdConnectFailure.LimitExceeded, error.Reason);
        Assert.True(sent < 64 * Limit, $"{sent} bytes were taken");

        // Other tests run beside this one: the bound only excludes that the flood was kept.
        Assert.True(GC.GetTotalMemory(forceFullCollection: true) - before < 64 * Limit);
    }

    [Fact]
    public async Task A_handshake_can_be_cancelled_while_the_server_is_silent()
    {
        using var cancellation = new CancellationTokenSource();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => HandshakeRun.RunAsync(
            socket => NbdHandshake.NegotiateAsync(
                socket, new NbdHandshakeOptions(), Microsoft.Extensions.Logging.Abstractions.NullLogger.Instance, cancellation.Token),
            peer =>
            {
                peer.Begin();
                peer.ExpectOption(NbdOption.Go);
                cancellation.Cancel();
                peer.ExpectEnd();
            }));
    }

    [Fact]
    public async Task The_socket_stays_open_and_the_caller_s_after_a_failure()
    {
        using ScriptedPeer peer = ScriptedPeer.Create(out FileDescriptor socket);
        using (socket)
        {
            peer.Send("not NBD at all, but long enough"u8);
            await Assert.ThrowsAsync<NbdConnectException>(() => NbdHandshake.NegotiateAsync(
                socket, new NbdHandshakeOptions(), Microsoft.Extensions.Logging.Abstractions.NullLogger.Instance));
            Assert.False(socket.IsClosed);
        }
    }

    private static void PlaySteps(ScriptedPeer peer, int steps)
    {
        Action[] play =
        [
            () => peer.Greet(),
            () =>
            {
                peer.ExpectOption(NbdOption.StructuredReply);
                peer.Ack(NbdOption.StructuredReply);
            },
            () =>
            {
                peer.ExpectOption(NbdOption.Go);
                peer.Info(NbdOption.Go, Wire.BlockSize(1, 4096, 65536));
            },
            () =>
            {
                peer.InfoExport();
                peer.Info(NbdOption.Go, Wire.Text(NbdInfoType.Description, "hello"));
            },
            () => peer.Ack(),
        ];
        foreach (Action action in play.Take(steps))
        {
            action();
        }
    }

    /// <summary>All that a server sends in a good handshake.</summary>
    private static async Task<byte[]> GoldenAsync()
    {
        byte[] stream = [];
        await HandshakeRun.NegotiateAsync(peer =>
        {
            using var recorded = new MemoryStream();
            peer.Copy = recorded;
            PlaySteps(peer, int.MaxValue);
            stream = recorded.ToArray();
            peer.ExpectEnd();
        });
        return stream;
    }
}
