using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using NbdFuse.Client;
using NbdFuse.Native;
using NbdFuse.Protocol;
using NbdFuse.TestKit;

namespace NbdFuse.Fuzz.Targets;

/// <summary>
/// A directory of certificates whose files are the input: taken, or refused in one line. OpenSSL reads them; what is looked at here is
/// that its refusals are told, and that nothing of it stays behind.
/// </summary>
/// <remarks>
/// The first byte says which files are as they come, and which are made PEM of what comes: changes to Base64 would seldom reach
/// the certificate in it.
/// </remarks>
internal sealed class CertificatesTarget : IFuzzTarget
{
    private static readonly (string File, string Label)[] Files =
    [
        ("ca-cert.pem", "CERTIFICATE"), ("client-cert.pem", "CERTIFICATE"), ("client-key.pem", "PRIVATE KEY"), ("ca-crl.pem", "X509 CRL"),
    ];

    private readonly TempDirectory _directory = new();
    private readonly byte[][] _seeds = [.. MakeSeeds()];

    public CertificatesTarget()
    {
        // A seed that is refused would leave everything behind the refusal untried.
        foreach (byte[] seed in _seeds)
        {
            Load(seed);
        }
    }

    public string Name => "certificates";

    public IEnumerable<byte[]> Seeds => _seeds;

    public void Run(byte[] input)
    {
        try
        {
            Load(input);
        }
        catch (NbdException error)
        {
            FuzzFiles.RequireOneLine(error);
        }
    }

    public void Dispose() => _directory.Dispose();

    private void Load(byte[] input)
    {
        int form = input.Length > 0 ? input[0] : 0;
        byte[]?[] parts = FuzzFiles.Split(input.AsSpan(Math.Min(1, input.Length)), Files.Length);
        for (int i = 0; i < parts.Length; i++)
        {
            string path = _directory[Files[i].File];
            File.Delete(path);
            if (parts[i] is { Length: > 0 } content)
            {
                File.WriteAllBytes(path, (form & (1 << i)) == 0 ? content : Encoding.ASCII.GetBytes(PemEncoding.WriteString(Files[i].Label, content)));
            }
        }

        var options = new NbdTlsOptions { Mode = NbdTlsMode.Require, CertificatesDirectory = _directory.Path };
        using TlsContext context = TlsCredentials.Load(options, "host", NullLogger.Instance, out _, out _);
        PosixException.Check(
            Posix.SocketPair(SocketConstants.AF_UNIX, SocketConstants.SOCK_STREAM | SocketConstants.SOCK_NONBLOCK, out int ours, out int theirs),
            "make a socket pair");
        using FileDescriptor client = FileDescriptor.Own(ours);
        using FileDescriptor server = FileDescriptor.Own(theirs);
        using TlsSession session = context.Open(client, "host");
        if (session.Handshake() != TlsStatus.WantRead)
        {
            throw new FuzzFailureException("a session does not begin");
        }
    }

    private static IEnumerable<byte[]> MakeSeeds()
    {
        DateTimeOffset begin = new(2020, 1, 1, 0, 0, 0, TimeSpan.Zero);
        DateTimeOffset end = new(2100, 1, 1, 0, 0, 0, TimeSpan.Zero);
        using ECDsa authorityKey = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=authority", authorityKey, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.CrlSign | X509KeyUsageFlags.KeyCertSign, true));
        request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, false));
        using X509Certificate2 authority = request.CreateSelfSigned(begin, end);
        var revoked = new CertificateRevocationListBuilder();
        revoked.AddEntry([1, 2, 3], begin);
        byte[] list = revoked.Build(authority, 1, end, HashAlgorithmName.SHA256);
        using ECDsa elliptic = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using RSA rsa = RSA.Create(2048);
        foreach ((CertificateRequest client, byte[] key) in new (CertificateRequest, byte[])[]
        {
            (new CertificateRequest("CN=client", elliptic, HashAlgorithmName.SHA256), elliptic.ExportPkcs8PrivateKey()),
            (new CertificateRequest("CN=client", rsa, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1), rsa.ExportPkcs8PrivateKey()),
        })
        {
            using X509Certificate2 certificate = client.Create(authority.SubjectName, X509SignatureGenerator.CreateForECDsa(authorityKey), begin, end, [7]);
            yield return [0xF, .. FuzzFiles.Join(authority.RawData, certificate.RawData, key, list)];
            yield return
            [
                0, .. FuzzFiles.Join(
                    Encoding.ASCII.GetBytes(authority.ExportCertificatePem()),
                    Encoding.ASCII.GetBytes($"{certificate.ExportCertificatePem()}\n{authority.ExportCertificatePem()}\n"),
                    Encoding.ASCII.GetBytes(PemEncoding.WriteString("PRIVATE KEY", key)),
                    Encoding.ASCII.GetBytes(PemEncoding.WriteString("X509 CRL", list))),
            ];
        }

        yield return [1, .. authority.RawData];
    }
}
