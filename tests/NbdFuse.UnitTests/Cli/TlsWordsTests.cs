using NbdFuse.Cli;
using NbdFuse.Client;
using NbdFuse.Protocol;
using Xunit;

namespace NbdFuse.UnitTests.Cli;

/// <summary>Options for TLS beside a URI.</summary>
public sealed class TlsWordsTests
{
    [Theory]
    [InlineData("nbd://h", null, NbdTlsMode.Off)]
    [InlineData("nbds://h", null, NbdTlsMode.Require)]
    [InlineData("nbds+unix:///?socket=/s", "require", NbdTlsMode.Require)]
    [InlineData("nbds+vsock://1", null, NbdTlsMode.Require)]
    [InlineData("nbd://h", "allow", NbdTlsMode.Allow)]
    [InlineData("nbd://h", "require", NbdTlsMode.Require)]
    [InlineData("nbd://h", "off", NbdTlsMode.Off)]
    [InlineData(null, "require", NbdTlsMode.Require)]
    [InlineData(null, null, NbdTlsMode.Off)]
    public void Mode_is_that_of_the_option_else_that_of_the_scheme(string? uri, string? mode, NbdTlsMode expected) =>
        Assert.Equal(expected, new TlsWords(mode).With(uri is null ? null : NbdUri.Parse(uri)).Mode);

    [Fact]
    public void Options_win_over_the_uri()
    {
        NbdUri uri = NbdUri.Parse("nbds://bob@h/?tls-psk-file=/keys&tls-verify-peer=0");
        NbdTlsOptions options = new TlsWords(Certificates: "/pki", HostName: "other").With(uri);
        Assert.Equal(("/pki", null, "other"), (options.CertificatesDirectory, options.PskFile, options.HostName));
        Assert.Equal(NbdTlsType.X509, options.Type);
        options = new TlsWords(PskFile: "/other").With(uri);
        Assert.Equal(("/other", "bob", false), (options.PskFile, options.UserName, options.VerifyPeer));
    }

    [Theory]
    [InlineData("nbds://h", "off", null, null, "insists")]
    [InlineData("nbds://h", "allow", null, null, "insists")]
    [InlineData("nbd://h", "sometimes", null, null, "sometimes")]
    [InlineData("nbd://h", null, "/pki", null, "--tls=require")]
    [InlineData("nbds://h", null, "/pki", "/keys", "exclude")]
    [InlineData("nbds://h", null, "", null, "value")]
    public void Contradiction_is_a_usage_error(string uri, string? mode, string? certificates, string? psk, string expected)
    {
        var error = Assert.Throws<UsageException>(() => new TlsWords(mode, certificates, psk).With(NbdUri.Parse(uri)));
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
    }
}
