using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Microsoft.Extensions.Logging.Abstractions;
using NbdFuse.Client;
using NbdFuse.Protocol;
using NbdFuse.TestKit;

namespace NbdFuse.Fuzz.Targets;

/// <summary>
/// A server with TLS whose words are changed or cut on their way, in the handshake of TLS and behind it: either it is the export
/// that the server has, or an error. Every session of TLS is a new one, so that the changes meet live bytes at any depth.
/// </summary>
internal sealed class TlsTarget : IFuzzTarget
{
    private const ulong ExportBytes = 0x1234000;
    private const int Longest = 2048;
    private const int PatienceMilliseconds = 50;

    private readonly TempDirectory _directory = new();
    private readonly Socket _listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
    private readonly X509Certificate2 _certificate;
    private readonly NbdTransportOptions _options;

    public TlsTarget()
    {
        using ECDsa key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=host", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        var names = new SubjectAlternativeNameBuilder();
        names.AddDnsName("host");
        request.CertificateExtensions.Add(names.Build());
        DateTimeOffset begin = new(2020, 1, 1, 0, 0, 0, TimeSpan.Zero);
        _certificate = request.CreateSelfSigned(begin, begin.AddYears(80));
        File.WriteAllText(_directory["ca-cert.pem"], _certificate.ExportCertificatePem());
        _options = new NbdTransportOptions
        {
            Tls = new NbdTlsOptions { Mode = NbdTlsMode.Require, CertificatesDirectory = _directory.Path, HostName = "host" },
        };
        _listener.Bind(new UnixDomainSocketEndPoint(_directory["s"]));
        _listener.Listen();
        foreach (byte version in (byte[])[0, 1])
        {
            if (!Connect([version]))
            {
                throw new InvalidOperationException("a session without a fault fails");
            }
        }
    }

    public string Name => "tls";

    /// <summary>The version of TLS, then edits: two bytes of place, kind, value.</summary>
    public IEnumerable<byte[]> Seeds
    {
        get
        {
            for (int at = 0; at < 1024; at += 32)
            {
                byte version = (byte)(at / 32 % 2);
                yield return [version, (byte)(at >> 8), (byte)at, 0, 0];
                yield return [version, (byte)(at >> 8), (byte)(at + 5), 1, 0x10];
            }
        }
    }

    public void Run(byte[] input) => Connect(input);

    public void Dispose()
    {
        _listener.Dispose();
        _certificate.Dispose();
        _directory.Dispose();
    }

    /// <returns>Whether there was a session.</returns>
    private bool Connect(byte[] input)
    {
        var decisions = new Decisions(input);
        SslProtocols version = decisions.Next(2) == 0 ? SslProtocols.Tls13 : SslProtocols.Tls12;
        List<(int At, int Kind, byte Value)> edits = [];
        while (!decisions.IsAtEnd && edits.Count < 64)
        {
            edits.Add((decisions.Next(Longest), decisions.Next(TamperingStream.Kinds), decisions.NextByte()));
        }

        edits.Sort((a, b) => a.At.CompareTo(b.At));
        Task serving = Task.Run(() => Serve(version, edits));
        try
        {
            return ConnectAsync().GetAwaiter().GetResult();
        }
        catch (NbdException error)
        {
            FuzzFiles.RequireOneLine(error);
            return false;
        }
        finally
        {
            serving.GetAwaiter().GetResult();
        }
    }

    private async Task<bool> ConnectAsync()
    {
        NbdTransport transport = NbdTransport.Create(new UnixTarget(_directory["s"]), _options, NullLogger.Instance);
        await using (transport.ConfigureAwait(false))
        {
            NegotiatedSocket opened = await transport.OpenAsync(new NbdHandshakeOptions { Timeout = TimeSpan.FromSeconds(20) }).ConfigureAwait(false);
            opened.Socket.Dispose();
            return opened.Negotiated.Export.Size == ExportBytes ? true : throw new FuzzFailureException($"an export of {opened.Negotiated.Export.Size} bytes");
        }
    }

    private void Serve(SslProtocols version, IReadOnlyList<(int At, int Kind, byte Value)> edits)
    {
        using Socket socket = _listener.Accept();

        // A length that was changed makes both ends wait for each other: then this one leaves.
        socket.ReceiveTimeout = edits.Count > 0 ? PatienceMilliseconds : 0;
        try
        {
            // What is said in plain text is the matter of other targets.
            using (var plain = new NetworkStream(socket, ownsSocket: false))
            {
                byte[] greeting = new byte[NbdNewstyleGreeting.Size];
                NbdNewstyleGreeting.Write(greeting, NbdHandshakeFlags.FixedNewstyle | NbdHandshakeFlags.NoZeroes);
                plain.Write(greeting);
                Read(plain, NbdClientGreeting.Size);
                Read(plain, NbdOptionHeader.Size);
                Reply(plain, NbdOption.StartTls, NbdOptionReplyType.Ack, []);
            }

            using var tampering = new TamperingStream(socket, edits);
            using var tls = new SslStream(tampering);
            tls.AuthenticateAsServer(_certificate, false, version, false);
            while (AnswerOption(tls))
            {
                // Until GO.
            }

            // Till the client leaves.
            while (tls.ReadByte() >= 0)
            {
            }
        }
        catch (Exception e) when (e is IOException or SocketException or AuthenticationException or ObjectDisposedException or InvalidOperationException)
        {
            // The client has had enough, or the line is cut.
            return;
        }
    }

    private static bool AnswerOption(Stream stream)
    {
        NbdOptionHeader.TryRead(Read(stream, NbdOptionHeader.Size), out NbdOptionHeader header);
        Read(stream, (int)header.Length);
        if (header.Option != NbdOption.Go)
        {
            Reply(stream, header.Option, NbdOptionReplyType.ErrUnsup, []);
            return true;
        }

        byte[] export = new byte[NbdInfoReply.ExportBytes];
        NbdInfoReply.WriteExport(export, ExportBytes, NbdTransmissionFlags.HasFlags);
        Reply(stream, header.Option, NbdOptionReplyType.Info, export);
        Reply(stream, header.Option, NbdOptionReplyType.Ack, []);
        return false;
    }

    private static void Reply(Stream stream, NbdOption option, NbdOptionReplyType type, byte[] data)
    {
        byte[] header = new byte[NbdOptionReplyHeader.Size];
        NbdOptionReplyHeader.Write(header, option, type, (uint)data.Length);
        stream.Write([.. header, .. data]);
    }

    private static byte[] Read(Stream stream, int count)
    {
        byte[] data = new byte[count];
        stream.ReadExactly(data);
        return data;
    }
}
