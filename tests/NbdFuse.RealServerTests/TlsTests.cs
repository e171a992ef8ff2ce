using Microsoft.Extensions.Logging.Abstractions;
using NbdFuse.Client;
using NbdFuse.Native;
using NbdFuse.Protocol;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.RealServerTests;

/// <summary>TLS with every server that speaks it, and what each refusal says.</summary>
public sealed class TlsTests(TestPki pki) : IClassFixture<TestPki>
{
    [Theory]
    [InlineData("nbdkit x509", ServerTransport.Tcp, "trusting")]
    [InlineData("nbdkit x509", ServerTransport.Unix, "trusting, named")]
    [InlineData("nbdkit x509", ServerTransport.Unix, "trusting")]
    [InlineData("nbdkit x509, optional", ServerTransport.Tcp, "trusting")]
    [InlineData("nbdkit x509, both sides", ServerTransport.Tcp, "client")]
    [InlineData("nbdkit x509", ServerTransport.Tcp, "blind")]
    [InlineData("nbdkit psk", ServerTransport.Unix, "psk")]
    [InlineData("nbdkit psk", ServerTransport.Tcp, "psk of bob")]
    [InlineData("qemu-nbd x509", ServerTransport.Tcp, "trusting")]
    [InlineData("qemu-nbd x509, both sides", ServerTransport.Tcp, "client")]
    [InlineData("qemu-nbd x509, TLS 1.2", ServerTransport.Tcp, "trusting")]
    [InlineData("qemu-nbd x509, TLS 1.3", ServerTransport.Tcp, "trusting")]
    [InlineData("qemu-nbd psk", ServerTransport.Tcp, "psk")]
    [InlineData("qemu-nbd psk, TLS 1.2", ServerTransport.Tcp, "psk")]
    [InlineData("qemu-nbd anon", ServerTransport.Tcp, "anon")]
    [InlineData("nbd-server x509", ServerTransport.Tcp, "client")]
    public async Task Data_goes_both_ways_inside_tls(string kind, ServerTransport transport, string credentials)
    {
        await using RealServer server = await TlsServers.StartAsync(kind, pki, transport);
        await using ClientStack stack = await ClientStack.OpenAsync(
            TlsServers.Uri(server, Parameters(credentials)), new NbdExportOptions { Connections = 4 });
        Assert.True(stack.Export.Negotiated.Tls);

        // Asked for inside TLS, whatever was said before.
        Assert.Equal(!kind.StartsWith("nbd-server", StringComparison.Ordinal), stack.Export.Negotiated.StructuredReplies);
        byte[] data = PatternData.Create(7, 0, 3 << 20);
        await stack.WriteAsync(4096, data);
        await stack.VerifyAsync(4096, data);
        await Task.WhenAll(Enumerable.Range(0, 32).Select(i => stack.VerifyAsync(4096 + (i * 4096), data[(i * 4096)..((i * 4096) + 4096)])));
        Assert.Equal(data, server.ReadBacking(4096, data.Length));
    }

    [Fact]
    public async Task Every_case_of_the_conformance_list_holds_inside_tls()
    {
        await using RealServer server = await TlsServers.StartAsync("nbdkit x509", pki, ServerTransport.Unix);
        await using ClientStack stack = await ClientStack.OpenAsync(
            TlsServers.Uri(server, Parameters("trusting")), new NbdExportOptions { Connections = 4 });
        await stack.ConformAsync();
    }

    [Theory]
    [InlineData("nbdkit x509", "stranger", "not signed by an authority that is trusted here")]
    [InlineData("nbdkit x509", "system", "not signed by an authority that is trusted here")]
    [InlineData("nbdkit x509", "trusting, misnamed", "not for \"other.example\"")]
    [InlineData("nbdkit expired", "trusting", "has expired")]
    [InlineData("nbdkit misused", "trusting", "not meant for servers")]
    [InlineData("nbdkit x509, both sides", "trusting", "client-cert.pem")]
    [InlineData("qemu-nbd x509, both sides", "trusting", "client-cert.pem")]
    [InlineData("qemu-nbd x509, TLS 1.1", "trusting", "hung up")]
    [InlineData("nbdkit psk", "wrong psk", "pre-shared key of \"alice\"")]
    [InlineData("nbdkit psk", "psk of nobody", "no key of the user \"nobody\"")]
    [InlineData("qemu-nbd psk", "wrong psk", "pre-shared key of \"alice\"")]
    [InlineData("qemu-nbd psk, TLS 1.2", "wrong psk", "pre-shared key of \"alice\"")]
    [InlineData("nbdkit psk", "trusting", "tls-psk-file=FILE")]
    [InlineData("nbdkit x509", "psk", "certificate")]
    [InlineData("nbdkit plain", "trusting", "does not offer TLS")]
    [InlineData("nbdkit x509", "no such directory", "ca-cert.pem")]
    public async Task Each_refusal_is_one_clear_error(string kind, string credentials, string expected)
    {
        await using RealServer server = await TlsServers.StartAsync(kind, pki, ServerTransport.Tcp);
        var error = await Assert.ThrowsAsync<NbdConnectException>(
            () => ClientStack.ConnectAsync(TlsServers.Uri(server, Parameters(credentials))));
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', error.Message);
        Assert.Contains(
            error.Reason, new[] { NbdConnectFailure.TlsFailed, NbdConnectFailure.TlsRefused, NbdConnectFailure.TlsCredentials });
        Assert.DoesNotContain("0123456789abcdef", error.ToString(), StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public async Task Plain_client_of_a_server_that_requires_tls_is_told_what_to_write()
    {
        await using RealServer server = await TlsServers.StartAsync("nbdkit x509", pki, ServerTransport.Tcp);
        var error = await Assert.ThrowsAsync<NbdConnectException>(() => ClientStack.ConnectAsync(server.Uri));
        Assert.Equal(NbdConnectFailure.TlsRequired, error.Reason);
        Assert.Contains("nbds://", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Optional_tls_of_the_server_leaves_plain_clients_alone()
    {
        await using RealServer server = await TlsServers.StartAsync("nbdkit x509, optional", pki, ServerTransport.Tcp);
        await using NbdExport export = await ClientStack.ConnectAsync(server.Uri);
        Assert.False(export.Negotiated.Tls);
    }

    [Theory]
    [InlineData("nbdkit plain", false)]
    [InlineData("nbdkit x509, optional", true)]
    [InlineData("nbdkit x509", true)]
    public async Task Allowed_tls_is_used_where_it_is_offered(string kind, bool isEncrypted)
    {
        await using RealServer server = await TlsServers.StartAsync(kind, pki, ServerTransport.Tcp);
        await using NbdTransport transport = Transport(server, NbdTlsMode.Allow, pki.Trusting);
        NegotiatedSocket socket = await transport.OpenAsync(new NbdHandshakeOptions(), TestContext.Current.CancellationToken);
        socket.Socket.Dispose();
        Assert.Equal(isEncrypted, socket.Negotiated.Tls);
    }

    [Fact]
    public async Task Allowed_tls_that_fails_does_not_go_on_in_plain_text()
    {
        await using RealServer server = await TlsServers.StartAsync("nbdkit x509, optional", pki, ServerTransport.Tcp);
        await using NbdTransport transport = Transport(server, NbdTlsMode.Allow, pki.Stranger);
        var error = await Assert.ThrowsAsync<NbdConnectException>(
            () => transport.OpenAsync(new NbdHandshakeOptions(), TestContext.Current.CancellationToken));
        Assert.Equal(NbdConnectFailure.TlsFailed, error.Reason);
    }

    [Fact]
    public async Task Once_encrypted_a_reconnection_is_never_plain()
    {
        await using RealServer server = await TlsServers.StartAsync("nbdkit x509, optional", pki, ServerTransport.Tcp);
        await using RealServer plain = await TlsServers.StartAsync("nbdkit plain", pki, ServerTransport.Tcp);
        await using var proxy = new FaultProxy(server, ServerTransport.Tcp);
        await using NbdTransport transport = NbdTransport.Create(
            NbdTarget.FromUri(NbdUri.Parse(proxy.Uri)), Options(NbdTlsMode.Allow, pki.Trusting), NullLogger.Instance);
        (await transport.OpenAsync(new NbdHandshakeOptions(), TestContext.Current.CancellationToken)).Socket.Dispose();

        proxy.Redirect(plain.EndPoint);
        var error = await Assert.ThrowsAsync<NbdConnectException>(
            () => transport.OpenAsync(new NbdHandshakeOptions(), TestContext.Current.CancellationToken));
        Assert.Equal(NbdConnectFailure.TlsRefused, error.Reason);

        // The flags, and NBD_OPT_STARTTLS.
        await Deadline.Until(() => proxy.RecordedToServer(1).Length >= NbdClientGreeting.Size + NbdOptionHeader.Size, "the client's option");
        Assert.Equal(NbdClientGreeting.Size + NbdOptionHeader.Size, proxy.RecordedToServer(1).Length);
    }

    [Fact]
    public async Task Flags_cleared_in_between_get_nothing_from_a_client_that_insists()
    {
        await using RealServer server = await TlsServers.StartAsync("nbdkit x509, optional", pki, ServerTransport.Tcp);

        // The low byte of the handshake flags: without NBD_FLAG_FIXED_NEWSTYLE there are no options.
        await using var proxy = new FaultProxy(server, ServerTransport.Tcp) { ToClient = _ => new() { CorruptAt = 17, CorruptMask = 1 } };
        var error = await Assert.ThrowsAsync<NbdConnectException>(
            () => ClientStack.ConnectAsync(TlsServers.Uri(proxy.Uri, Parameters("trusting"))));
        Assert.Equal(NbdConnectFailure.TlsRefused, error.Reason);

        // The client has hung up, and the proxy may not have read it all yet.
        await Deadline.Until(() => proxy.RecordedToServer(0).Length >= NbdClientGreeting.Size, "the client's flags");
        Assert.Equal(NbdClientGreeting.Size, proxy.RecordedToServer(0).Length);
    }

    [Theory]
    [InlineData(60)]
    [InlineData(200)]
    [InlineData(700)]
    public async Task Byte_changed_in_the_handshake_ends_the_attempt(int position)
    {
        await using RealServer server = await TlsServers.StartAsync("nbdkit x509", pki, ServerTransport.Tcp);
        await using var proxy = new FaultProxy(server, ServerTransport.Tcp) { ToClient = _ => new() { CorruptAt = position, CorruptMask = 0x10 } };
        await Assert.ThrowsAsync<NbdConnectException>(() => ClientStack.ConnectAsync(TlsServers.Uri(proxy.Uri, Parameters("trusting"))));
    }

    [Fact]
    public async Task Byte_changed_in_a_payload_is_never_delivered()
    {
        byte[] content = PatternData.Create(3, 0, 8 << 20);
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions
        {
            Transport = ServerTransport.Tcp,
            Content = content,
            Extra = ["--tls=require", $"--tls-certificates={pki.Server}"],
        });
        await using var proxy = new FaultProxy(server, ServerTransport.Tcp)
        {
            ToClient = number => number == 0 ? new() { CorruptAt = 500_000 } : FaultPlan.None,
        };
        await using ClientStack stack = await ClientStack.OpenAsync(TlsServers.Uri(proxy.Uri, Parameters("trusting")));
        try
        {
            // Right, after another attempt, or not at all.
            await stack.VerifyAsync(0, content[..(1 << 20)]);
        }
        catch (ConformanceErrorException e)
        {
            Assert.NotEqual(0, e.Errno);
        }

        Assert.True(proxy.RecordedToClient(0).Length > 500_000, "the byte was never reached");
    }

    [Theory]
    [InlineData("nbdkit x509", "trusting")]
    [InlineData("qemu-nbd psk", "psk")]
    [InlineData("nbd-server x509", "client")]
    public async Task Info_and_list_look_at_a_server_inside_tls(string kind, string credentials)
    {
        await using RealServer server = await TlsServers.StartAsync(kind, pki, ServerTransport.Tcp);
        NbdUri uri = NbdUri.Parse(TlsServers.Uri(server, Parameters(credentials)));
        var options = new NbdProbeOptions { Transport = new NbdTransportOptions { Tls = NbdTlsOptions.FromUri(uri) } };
        NbdServerInfo info = await NbdProbe.InfoAsync(
            NbdTarget.FromUri(uri), uri.ExportName, options, cancellationToken: TestContext.Current.CancellationToken);
        Assert.True(info.Tls);
        Assert.Equal(8UL << 20, info.Exports[0].Info!.Size);
        NbdServerInfo list = await NbdProbe.ListAsync(NbdTarget.FromUri(uri), options, cancellationToken: TestContext.Current.CancellationToken);
        Assert.True(list.Tls);
        Assert.Equal(8UL << 20, Assert.Single(list.Exports).Info!.Size);
    }

    [Fact]
    public async Task Server_that_is_killed_ends_the_connections_inside_tls()
    {
        await using RealServer server = await TlsServers.StartAsync("nbdkit x509", pki, ServerTransport.Tcp);
        await using NbdTransport transport = Transport(server, NbdTlsMode.Require, pki.Trusting);
        NegotiatedSocket connection = await transport.OpenAsync(new NbdHandshakeOptions(), TestContext.Current.CancellationToken);
        using FileDescriptor socket = connection.Socket;
        server.Kill();
        Assert.True(Posix.Poll(socket.Value, PollEvents.In, (int)Deadline.Default.TotalMilliseconds) > 0, "the death of the server was not seen");
        byte[] buffer = new byte[1];
        Assert.True(Posix.Recv(socket.Value, buffer) <= 0, "nothing was asked, and something came");
    }

    [Fact]
    public async Task Last_bytes_before_the_end_arrive_before_the_transport_is_gone()
    {
        await using RealServer server = await TlsServers.StartAsync("nbdkit x509", pki, ServerTransport.Tcp);
        for (int i = 0; i < 20; i++)
        {
            await using (NbdExport export = await ClientStack.ConnectAsync(TlsServers.Uri(server, Parameters("trusting"))))
            {
                Assert.True(export.Negotiated.Tls);
            }
        }

        // nbdkit complains of a connection that ends without NBD_CMD_DISC or without close_notify.
        Assert.DoesNotContain("error", server.Log, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Command_is_spoken_to_inside_tls()
    {
        string nbdkit = Requires.Command("nbdkit");
        await using NbdTransport transport = NbdTransport.Create(
            new CommandTarget([nbdkit, "-s", "--tls=require", $"--tls-psk={pki.PskFile}", "memory", "1M"]),
            new NbdTransportOptions { Tls = new NbdTlsOptions { Mode = NbdTlsMode.Require, PskFile = pki.PskFile, UserName = TestPki.User } },
            NullLogger.Instance);
        NegotiatedSocket socket = await transport.OpenAsync(new NbdHandshakeOptions(), TestContext.Current.CancellationToken);
        Assert.True(socket.Negotiated.Tls);
        socket.Socket.Dispose();
    }

    private static NbdTransportOptions Options(NbdTlsMode mode, string directory) =>
        new() { Tls = new NbdTlsOptions { Mode = mode, CertificatesDirectory = directory } };

    private static NbdTransport Transport(RealServer server, NbdTlsMode mode, string directory) =>
        NbdTransport.Create(NbdTarget.FromUri(NbdUri.Parse(server.Uri)), Options(mode, directory), NullLogger.Instance);

    private string Parameters(string credentials) => credentials switch
    {
        "trusting" => $"tls-certificates={pki.Trusting}",
        "trusting, named" => $"tls-certificates={pki.Trusting}&tls-hostname=nbd.example",
        "trusting, misnamed" => $"tls-certificates={pki.Trusting}&tls-hostname=other.example",
        "client" => $"tls-certificates={pki.Client}",
        "stranger" => $"tls-certificates={pki.Stranger}",
        "blind" => "tls-verify-peer=0",
        "system" => "tls-type=x509",
        "psk" => $"tls-psk-file={pki.PskFile}&tls-username={TestPki.User}",
        "psk of bob" => $"tls-psk-file={pki.PskFile}&tls-username=bob",
        "psk of nobody" => $"tls-psk-file={pki.PskFile}&tls-username=nobody",
        "wrong psk" => $"tls-psk-file={pki.WrongPskFile}&tls-username={TestPki.User}",
        "anon" => "tls-type=anon",
        "no such directory" => "tls-certificates=/nonexistent",
        _ => throw new ArgumentOutOfRangeException(nameof(credentials)),
    };
}
