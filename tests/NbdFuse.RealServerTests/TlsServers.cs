using NbdFuse.TestKit;

namespace NbdFuse.RealServerTests;

/// <summary>Servers that speak TLS.</summary>
internal static class TlsServers
{
    /// <summary>Starts one by its name.</summary>
    /// <param name="name">Program and kind of credentials.</param>
    /// <param name="pki">Credentials.</param>
    /// <param name="transport">How it is reached.</param>
    public static Task<RealServer> StartAsync(string name, TestPki pki, ServerTransport transport)
    {
        var options = new RealServerOptions { Transport = transport, Size = 8 << 20 };
        return name switch
        {
            "nbdkit x509" => Nbdkit("--tls=require", $"--tls-certificates={pki.Server}"),
            "nbdkit x509, optional" => Nbdkit("--tls=on", $"--tls-certificates={pki.Server}"),
            "nbdkit x509, both sides" => Nbdkit("--tls=require", "--tls-verify-peer", $"--tls-certificates={pki.Server}"),
            "nbdkit psk" => Nbdkit("--tls=require", $"--tls-psk={pki.PskFile}"),
            "nbdkit expired" => Nbdkit("--tls=require", $"--tls-certificates={pki.Expired}"),
            "nbdkit misused" => Nbdkit("--tls=require", $"--tls-certificates={pki.Misused}"),
            "nbdkit plain" => Nbdkit("--tls=off"),
            "qemu-nbd x509" => Qemu($"tls-creds-x509,id=tls,endpoint=server,verify-peer=off,dir={pki.Server}"),
            "qemu-nbd x509, both sides" => Qemu($"tls-creds-x509,id=tls,endpoint=server,verify-peer=on,dir={pki.Server}"),
            "qemu-nbd x509, TLS 1.2" => Qemu($"tls-creds-x509,id=tls,endpoint=server,verify-peer=off,dir={pki.Server},priority=NORMAL:-VERS-TLS1.3"),
            "qemu-nbd x509, TLS 1.3" => Qemu($"tls-creds-x509,id=tls,endpoint=server,verify-peer=off,dir={pki.Server},priority=NORMAL:-VERS-TLS-ALL:+VERS-TLS1.3"),
            "qemu-nbd x509, TLS 1.1" => Qemu(
                $"tls-creds-x509,id=tls,endpoint=server,verify-peer=off,dir={pki.Server},priority=NORMAL:-VERS-TLS-ALL:+VERS-TLS1.1"),
            "qemu-nbd psk" => Qemu($"tls-creds-psk,id=tls,endpoint=server,dir={pki.PskDirectory}"),
            "qemu-nbd psk, TLS 1.2" => Qemu($"tls-creds-psk,id=tls,endpoint=server,dir={pki.PskDirectory},priority=NORMAL:-VERS-TLS1.3"),
            "qemu-nbd anon" => Qemu("tls-creds-anon,id=tls,endpoint=server"),
            "nbd-server x509" => RealServers.NbdServer(options with
            {
                // Lines of the export's section; the credentials belong to the generic one, which may come again.
                Extra =
                [
                    "[generic]", "force_tls = true", $"certfile = {pki.Server}/server-cert.pem", $"keyfile = {pki.Server}/server-key.pem",
                    $"cacertfile = {pki.Server}/ca-cert.pem",
                ],
            }),
            _ => throw new ArgumentOutOfRangeException(nameof(name)),
        };

        Task<RealServer> Nbdkit(params string[] tls) => RealServers.NbdkitFile(options with { Extra = tls });

        Task<RealServer> Qemu(string credentials) => RealServers.QemuNbd(options with { Extra = ["--object", credentials, "--tls-creds=tls"] });
    }

    /// <summary>The URI of a server with TLS and its parameters.</summary>
    /// <param name="server">The server.</param>
    /// <param name="parameters">tls-... parameters, joined by ampersands.</param>
    public static string Uri(RealServer server, string parameters) => Uri(server.Uri, parameters);

    /// <summary>A URI with TLS and its parameters.</summary>
    /// <param name="plain">The URI without.</param>
    /// <param name="parameters">tls-... parameters, joined by ampersands.</param>
    public static string Uri(string plain, string parameters) =>
        string.Concat("nbds", plain.AsSpan("nbd".Length), plain.Contains('?') ? "&" : "?", parameters);
}
