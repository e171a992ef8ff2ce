using NbdFuse.Protocol;
using Xunit;

namespace NbdFuse.UnitTests.Protocol;

public class UriTests
{
    [Theory]
    [InlineData("nbd://example.com", "example.com", 10809, "")]
    [InlineData("nbd://example.com/", "example.com", 10809, "")]
    [InlineData("nbd://example.com/disk", "example.com", 10809, "disk")]
    [InlineData("nbd://example.com//disk", "example.com", 10809, "/disk")]
    [InlineData("nbd://example.com/a/b/", "example.com", 10809, "a/b/")]
    [InlineData("nbd://example.com/hello%20world", "example.com", 10809, "hello world")]
    [InlineData("nbd://example.com/a+b", "example.com", 10809, "a+b")]
    [InlineData("nbd://example.com/a%2Fb%3fc%23d%25e", "example.com", 10809, "a/b?c#d%e")]
    [InlineData("nbd://example.com/gr%C3%BCn", "example.com", 10809, "grün")]
    [InlineData("nbd://example.com/grün", "example.com", 10809, "grün")]
    [InlineData("nbd://example.com/a@b:c", "example.com", 10809, "a@b:c")]
    [InlineData("nbd:///foo", "localhost", 10809, "foo")]
    [InlineData("nbd://", "localhost", 10809, "")]
    [InlineData("nbd://:1234", "localhost", 1234, "")]
    [InlineData("nbd://example.com:1", "example.com", 1, "")]
    [InlineData("nbd://example.com:65535/x", "example.com", 65535, "x")]
    [InlineData("nbd://example.com:/x", "example.com", 10809, "x")]
    [InlineData("nbd://example.com:0042/x", "example.com", 42, "x")]
    [InlineData("nbd://192.0.2.1:10810", "192.0.2.1", 10810, "")]
    [InlineData("nbd://[::1]", "::1", 10809, "")]
    [InlineData("nbd://[::1]:4567/x", "::1", 4567, "x")]
    [InlineData("nbd://[2001:db8::ffff]/x", "2001:db8::ffff", 10809, "x")]
    [InlineData("nbd://[::ffff:192.0.2.1]", "::ffff:192.0.2.1", 10809, "")]
    [InlineData("nbd://[fe80::1%25eth0]:99/x", "fe80::1%eth0", 99, "x")]
    [InlineData("nbd://[fe80::1%eth0]/x", "fe80::1%eth0", 10809, "x")]
    [InlineData("nbd://[fe80::1%2512]", "fe80::1%12", 10809, "")]
    [InlineData("nbd://ex%61mple.com", "example.com", 10809, "")]
    [InlineData("nbd+tcp://example.com/x", "example.com", 10809, "x")]
    [InlineData("NBD://example.com/X", "example.com", 10809, "X")]
    [InlineData("nbd://example.com?", "example.com", 10809, "")]
    public void Tcp_uri_gives_host_port_and_export(string text, string host, int port, string export)
    {
        NbdUri uri = NbdUri.Parse(text);
        Assert.Equal(NbdUriTransport.Tcp, uri.Transport);
        Assert.False(uri.Tls);
        Assert.Equal(host, uri.Host);
        Assert.Equal(port, uri.Port);
        Assert.Equal(export, uri.ExportName);
        Assert.Null(uri.SocketPath);
        Assert.Null(uri.UserName);
        Assert.Empty(uri.Warnings);
    }

    [Theory]
    [InlineData("nbd+unix:///?socket=/run/nbd.sock", "/run/nbd.sock", "")]
    [InlineData("nbd+unix:///disk?socket=/run/nbd.sock", "/run/nbd.sock", "disk")]
    [InlineData("nbd+unix:////disk?socket=/run/nbd.sock", "/run/nbd.sock", "/disk")]
    [InlineData("nbd+unix://?socket=/run/nbd.sock", "/run/nbd.sock", "")]
    [InlineData("nbd+unix:///?socket=%2Frun%2fmy%20nbd.sock", "/run/my nbd.sock", "")]
    [InlineData("nbd+unix:///?socket=nbd.sock", "nbd.sock", "")]
    [InlineData("nbd+unix:///?socket=/run/a=b", "/run/a=b", "")]
    [InlineData("nbd+unix:///?socket=/run/a?b", "/run/a?b", "")]
    [InlineData("nbd+unix:///?socket=%00/abstract", "\0/abstract", "")]
    [InlineData("nbd+unix:///?socket=%00a%00b", "\0a\0b", "")]
    public void Unix_uri_gives_the_socket(string text, string socket, string export)
    {
        NbdUri uri = NbdUri.Parse(text);
        Assert.Equal(NbdUriTransport.Unix, uri.Transport);
        Assert.Equal(socket, uri.SocketPath);
        Assert.Equal(export, uri.ExportName);
        Assert.Empty(uri.Warnings);
    }

    [Theory]
    [InlineData("nbd+vsock://", 2u, 10809, "")]
    [InlineData("nbd+vsock:///x", 2u, 10809, "x")]
    [InlineData("nbd+vsock://3/x", 3u, 10809, "x")]
    [InlineData("nbd+vsock://4294967294:99", 4294967294u, 99, "")]
    [InlineData("nbd+vsock://:2147483647/x", 2u, 2147483647, "x")]
    public void Vsock_uri_gives_context_and_port(string text, uint cid, int port, string export)
    {
        NbdUri uri = NbdUri.Parse(text);
        Assert.Equal(NbdUriTransport.Vsock, uri.Transport);
        Assert.Equal(cid, uri.VsockCid);
        Assert.Equal(port, uri.Port);
        Assert.Equal(export, uri.ExportName);
        Assert.Empty(uri.Warnings);
    }

    [Theory]
    [InlineData("nbds://h", NbdUriTransport.Tcp)]
    [InlineData("nbds+tcp://h", NbdUriTransport.Tcp)]
    [InlineData("nbds+unix:///?socket=s", NbdUriTransport.Unix)]
    [InlineData("nbds+vsock://", NbdUriTransport.Vsock)]
    public void Scheme_with_s_requires_tls(string text, NbdUriTransport transport)
    {
        NbdUri uri = NbdUri.Parse(text);
        Assert.True(uri.Tls);
        Assert.Equal(transport, uri.Transport);
    }

    [Theory]
    [InlineData("nbds://alice@h/x", "alice")]
    [InlineData("nbds://al%40ice@h/x", "al@ice")]
    [InlineData("nbds://a@b@h/x", "a@b")]
    [InlineData("nbds+unix://alice@/?socket=s", "alice")]
    [InlineData("nbds+vsock://alice@2/", "alice")]
    [InlineData("nbds://h/?tls-username=bob", "bob")]
    [InlineData("nbds://bob@h/?tls-username=bob", "bob")]
    [InlineData("nbds://@h/x", null)]
    [InlineData("nbds://h/x", null)]
    public void User_name_comes_from_the_authority_or_the_parameter(string text, string? user)
    {
        NbdUri uri = NbdUri.Parse(text);
        Assert.Equal(user, uri.UserName);
        Assert.Empty(uri.Warnings);
    }

    [Fact]
    public void Tls_parameters_are_read()
    {
        NbdUri uri = NbdUri.Parse(
            "nbds://h/x?tls-type=x509&tls-certificates=/etc/my%20pki;tls-hostname=real.example&tls-verify-peer=1"
            + "&tls-priority=NORMAL:-VERS-TLS1.2");
        Assert.Equal(NbdTlsType.X509, uri.TlsType);
        Assert.Equal("/etc/my pki", uri.TlsCertificates);
        Assert.Equal("real.example", uri.TlsHostname);
        Assert.True(uri.TlsVerifyPeer);
        Assert.Equal("NORMAL:-VERS-TLS1.2", uri.TlsPriority);
        Assert.Empty(uri.Warnings);

        uri = NbdUri.Parse("nbds://h/x?tls-type=psk&tls-psk-file=/keys&tls-verify-peer=0");
        Assert.Equal(NbdTlsType.Psk, uri.TlsType);
        Assert.Equal("/keys", uri.TlsPskFile);
        Assert.False(uri.TlsVerifyPeer);

        uri = NbdUri.Parse("nbds://h/x?tls-type=anon");
        Assert.Equal(NbdTlsType.Anonymous, uri.TlsType);

        uri = NbdUri.Parse("nbds://h/x");
        Assert.Null(uri.TlsType);
        Assert.Null(uri.TlsVerifyPeer);
        Assert.Null(uri.TlsCertificates ?? uri.TlsPskFile ?? uri.TlsHostname ?? uri.TlsPriority);
    }

    [Theory]
    [InlineData("nbd+unix:///x?&&;socket=s;;&")]
    [InlineData("nbd+unix:///x?=v&socket=s")]
    [InlineData("nbd+unix:///x?x-experiment=1&socket=s&x-other")]
    [InlineData("nbd+unix:///x?socke%74=s")]
    public void Empty_and_experimental_sections_of_the_query_are_skipped_silently(string text)
    {
        NbdUri uri = NbdUri.Parse(text);
        Assert.Equal("s", uri.SocketPath);
        Assert.Empty(uri.Warnings);
    }

    [Theory]
    [InlineData("nbd://h/x?bogus=1", "bogus")]
    [InlineData("nbd://h/x?bogus", "bogus")]
    [InlineData("nbd://h/x?Socket=s", "Socket")] // names are case-sensitive
    [InlineData("nbd://h/x?bo%0Agus=1", "bogus")]
    [InlineData("nbds://h/x?tls-type=psk&tls-type=psk", "tls-type twice")]
    [InlineData("nbd://h/x?tls-hostname=y", "tls-hostname has no effect")]
    [InlineData("nbd+unix://h/x?socket=s", "host and port")]
    [InlineData("nbd+unix://:1/x?socket=s", "host and port")]
    public void Odd_but_usable_uri_warns(string text, string part)
    {
        NbdUri uri = NbdUri.Parse(text);
        string warning = Assert.Single(uri.Warnings);
        Assert.Contains(part, warning, StringComparison.Ordinal);
        Assert.DoesNotContain(warning, char.IsControl);
    }

    [Theory]
    [InlineData("", "empty")]
    [InlineData("/run/nbd.sock", "nbd+unix:///?socket=/run/nbd.sock")]
    [InlineData("/run/my sock", "nbd+unix:///?socket=/run/my%20sock")]
    [InlineData("unix:/run/nbd.sock", "nbd+unix:///?socket=/run/nbd.sock")]
    [InlineData("localhost", "use nbd://localhost")]
    [InlineData("localhost:10809/x", "use nbd://localhost:10809/x")]
    [InlineData("nbd:localhost", "two slashes")]
    [InlineData("nbd:/x", "two slashes")]
    [InlineData("http://h/x", "\"http\" is no scheme")]
    [InlineData("://h/x", "is no scheme")]
    [InlineData("nbd+ssh://h/x", "ssh -L")]
    [InlineData("nbds+ssh://h/x", "nbds://localhost")]
    [InlineData("nbd://h/a b", "%20")]
    [InlineData("nbd://h/a#b", "%23")]
    [InlineData("nbd://h/a\tb", "%09")]
    [InlineData("nbd://h/%", "%25")]
    [InlineData("nbd://h/%4", "%25")]
    [InlineData("nbd://h/%zz", "\"%zz\"")]
    [InlineData("nbd://h/100%ä", "%25")]
    [InlineData("nbd://h/%ff", "not UTF-8")]
    [InlineData("nbd://h/a%00b", "NUL")]
    [InlineData("nbd://h:0/", "from 1 to 65535")]
    [InlineData("nbd://h:65536/", "from 1 to 65535")]
    [InlineData("nbd://h:99999999999/", "from 1 to 65535")]
    [InlineData("nbd://h:-1/", "from 1 to 65535")]
    [InlineData("nbd://h:+1/", "from 1 to 65535")]
    [InlineData("nbd://h:http/", "\"http\"")]
    [InlineData("nbd://::1/", "[::1]")]
    [InlineData("nbd://h:1:2/", "several colons")]
    [InlineData("nbd://[::1/x", "closing bracket")]
    [InlineData("nbd://[::1]x/", "only :PORT")]
    [InlineData("nbd://[]/", "no IPv6")]
    [InlineData("nbd://[127.0.0.1]/", "no IPv6")]
    [InlineData("nbd://[host]/", "no IPv6")]
    [InlineData("nbd://[::1%25]x", "only :PORT")]
    [InlineData("nbd://[fe80::1%]/", "zone")]
    [InlineData("nbd://[fe80::1%25a%2Fb]/", "zone")]
    [InlineData("nbd://a%2Fb/", "no host name")]
    [InlineData("nbd://a%20b/", "no host name")]
    [InlineData("nbd://a%00b/", "NUL")]
    [InlineData("nbd://h%zz/", "%25")]
    [InlineData("nbds://alice:secret@h/", "password")]
    [InlineData("nbds://a%00b@h/", "NUL")]
    [InlineData("nbds://alice@h/?tls-username=bob", "two users")]
    [InlineData("nbd://h/?socket=s", "nbd+unix:///?socket=PATH")]
    [InlineData("nbd+vsock://2/?socket=s", "nbd+unix:///?socket=PATH")]
    [InlineData("nbd+unix:///", "names no socket")]
    [InlineData("nbd+unix:///run/nbd.sock", "nbd+unix:///?socket=/run/nbd.sock")]
    [InlineData("nbds+unix:///x", "nbds+unix:///?socket=/x")]
    [InlineData("nbd+unix:///?socket=", "no value")]
    [InlineData("nbd+unix:///?socket", "no value")]
    [InlineData("nbd+unix:///?socket=%00", "no name")]
    [InlineData("nbd+unix:///?socket=/a%00b", "NUL")]
    [InlineData("nbd+unix:///?socket=%ff", "not UTF-8")]
    [InlineData("nbd+unix:///?socket=a&socket=b", "two different values of socket")]
    [InlineData("nbd+vsock://host/", "context identifier")]
    [InlineData("nbd+vsock://4294967295/", "context identifier")]
    [InlineData("nbd+vsock://4294967296/", "context identifier")]
    [InlineData("nbd+vsock://-1/", "context identifier")]
    [InlineData("nbd+vsock://[2]/", "context identifier")]
    [InlineData("nbd+vsock://[]/", "context identifier")]
    [InlineData("nbd+vsock://2:2147483648/", "from 1 to 2147483647")]
    [InlineData("nbds://h/?tls-type=tls", "anon, x509 or psk")]
    [InlineData("nbds://h/?tls-verify-peer=2", "neither 0 nor 1")]
    [InlineData("nbds://h/?tls-verify-peer", "no value")]
    [InlineData("nbds://h/?tls-hostname=", "no value")]
    [InlineData("nbds://h/?tls-hostname=a%00b", "NUL")]
    [InlineData("nbds://h/?%00=1", "NUL")]
    [InlineData("nbds://h/?%zz=1", "%25")]
    [InlineData("nbds://h/?tls-verify-peer=0&tls-verify-peer=1", "two different values of tls-verify-peer")]
    [InlineData("nbds://h/?tls-type=anon&tls-certificates=/d", "contradicts tls-type=anon")]
    [InlineData("nbds://h/?tls-type=psk&tls-certificates=/d", "contradicts tls-type=psk")]
    [InlineData("nbds://h/?tls-type=x509&tls-psk-file=/f", "contradicts tls-type=x509")]
    [InlineData("nbds://h/?tls-type=anon&tls-psk-file=/f", "contradicts tls-type=anon")]
    [InlineData("nbds://h/?tls-certificates=/d&tls-psk-file=/f", "both")]
    public void Unusable_uri_is_refused_with_what_to_write_instead(string text, string part)
    {
        Assert.False(NbdUri.TryParse(text, out NbdUri? uri, out string? error));
        Assert.Null(uri);
        Assert.Contains(part, error, StringComparison.Ordinal);
        Assert.DoesNotContain(error, char.IsControl);
        Assert.DoesNotContain("secret", error, StringComparison.Ordinal);
        Assert.Equal(error, Assert.Throws<NbdUriException>(() => NbdUri.Parse(text)).Message);
    }

    [Fact]
    public void Half_a_surrogate_pair_is_refused_anywhere()
    {
        string[] texts = ["nbd://h/\ud83d", "nbd://h\ud83d/x", "nbds://h/x?tls-psk-file=/\ude42", "nbds://\ud83d@h/x"];
        foreach (string text in texts)
        {
            Assert.False(NbdUri.TryParse(text, out _, out string? error));
            Assert.Contains("surrogate", error, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Export_name_is_bounded_by_the_protocol()
    {
        Assert.Equal(4096, NbdUri.Parse("nbd://h/" + new string('n', 4096)).ExportName.Length);
        Assert.False(NbdUri.TryParse("nbd://h/" + new string('n', 4097), out _, out string? error));
        Assert.Contains("4096 are allowed", error, StringComparison.Ordinal);
    }

    [Fact]
    public void Socket_is_bounded_by_the_kernel()
    {
        Assert.Equal(107, NbdUri.Parse("nbd+unix:///?socket=" + new string('s', 107)).SocketPath!.Length);
        Assert.Equal(108, NbdUri.Parse("nbd+unix:///?socket=%00" + new string('s', 107)).SocketPath!.Length);
        Assert.False(NbdUri.TryParse("nbd+unix:///?socket=" + new string('s', 108), out _, out string? error));
        Assert.Contains("107 are allowed", error, StringComparison.Ordinal);
        Assert.False(NbdUri.TryParse("nbd+unix:///?socket=%00" + new string('s', 108), out _, out _));
    }

    [Theory]
    [InlineData("NBD://EXAMPLE.com:10809", "nbd://EXAMPLE.com/")]
    [InlineData("nbd+tcp:///x", "nbd://localhost/x")]
    [InlineData("nbd://h:1//a%20b/c", "nbd://h:1//a%20b/c")]
    [InlineData("nbds://al%40ice@[fe80::1%eth0]:2/", "nbds://al%40ice@[fe80::1%25eth0]:2/")]
    [InlineData("nbd+unix://h/x?socket=%00a&bogus=secret", "nbd+unix:///x?socket=%00a")]
    [InlineData("nbd+vsock:///x", "nbd+vsock://2/x")]
    [InlineData(
        "nbds+unix:///?tls-verify-peer=no;tls-psk-file=/k&tls-type=psk&socket=/s&tls-username=u",
        "nbds+unix://u@/?socket=/s&tls-type=psk&tls-psk-file=/k&tls-verify-peer=0")]
    public void Canonical_uri_is_short_and_holds_no_unknown_parts(string text, string canonical)
    {
        Assert.Equal(canonical, NbdUri.Parse(text).ToString());
        Assert.Equal(canonical, NbdUri.Parse(canonical).ToString());
        Assert.Empty(NbdUri.Parse(canonical).Warnings);
    }

    [Fact]
    public void Any_export_name_survives_the_canonical_uri() => SeededRounds.Run(3_000, random =>
    {
        string name = random.NextText(20);
        string text = "nbd+unix:///" + Uri.EscapeDataString(name) + "?socket=/s";
        NbdUri uri = NbdUri.Parse(text);
        Assert.Equal(name, uri.ExportName);
        Assert.Equal(name, NbdUri.Parse(uri.ToString()).ExportName);
    });

    [Fact]
    public void Mutated_uri_is_refused_with_a_message_or_has_a_stable_canonical_form() => SeededRounds.Run(20_000, random =>
    {
        string[] seeds =
        [
            "nbds://alice@[fe80::1%25eth0]:10810/a%20b?tls-type=psk&tls-psk-file=/k",
            "nbd+unix:///disk?socket=%00abstract;x-y=1",
            "nbd+vsock://3:5/x?bogus=1",
        ];
        string text = seeds[random.Next(seeds.Length)];
        for (int i = random.Next(1, 4); i > 0; i--)
        {
            int at = random.Next(text.Length);
            text = text[..at] + random.NextText(2) + text[Math.Min(text.Length, at + random.Next(3))..];
        }

        if (NbdUri.TryParse(text, out NbdUri? uri, out string? error))
        {
            NbdUri again = NbdUri.Parse(uri.ToString());
            Assert.Equal(uri.ToString(), again.ToString());
            Assert.Equal((uri.Host, uri.Port, uri.VsockCid), (again.Host, again.Port, again.VsockCid));
            Assert.Equal(
                (uri.ExportName, uri.SocketPath, uri.UserName), (again.ExportName, again.SocketPath, again.UserName));
            Assert.Equal(
                (uri.TlsType, uri.TlsPskFile, uri.TlsCertificates), (again.TlsType, again.TlsPskFile, again.TlsCertificates));
        }
        else
        {
            Assert.NotEmpty(error);
        }
    });
}
