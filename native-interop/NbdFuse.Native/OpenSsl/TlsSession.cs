using System.Globalization;
using System.Net;
using System.Runtime.InteropServices;

namespace NbdFuse.Native;

/// <summary>
/// The client's end of one TLS connection on a non-blocking socket (OpenSSL's SSL). No step blocks, and none allocates but for a
/// failure. For one thread at a time.
/// </summary>
public sealed unsafe class TlsSession : IDisposable
{
    // ssl.h and tls1.h.
    private const int CtrlHostName = 55;
    private const int ErrorSsl = 1;
    private const int ErrorWantRead = 2;
    private const int ErrorWantWrite = 3;
    private const int ErrorSystem = 5;
    private const int ErrorZeroReturn = 6;
    private const uint NoPartialWildcards = 4;

    // bio.h.
    private const int BioReset = 1;
    private const int BioInfo = 3;

    // Plain text that is encrypted before it is sent.
    private const int EncryptBytes = 64 * 1024;

    private readonly TlsContext _owner;
    private readonly FileDescriptor _socket;
    private readonly bool _referenced;

    // Records are collected here and sent together, from where they lie: one system call, and one waking of the server, for four
    // of them. Belongs to the session.
    private readonly nint _encrypted;

    // Of the records in there: what the socket has taken, and what it has still to take.
    private int _sent;
    private int _unsent;
    private bool _released;
    private nint _session;

    /// <summary>Makes the session: <see cref="TlsContext.Open"/>.</summary>
    internal TlsSession(nint context, TlsContext owner, FileDescriptor socket, string? host)
    {
        _owner = owner;
        _socket = socket;
        socket.DangerousAddRef(ref _referenced);
        LibCrypto.ERR_clear_error();
        _session = LibSsl.SSL_new(context);
        _encrypted = _session == 0 ? 0 : LibCrypto.BIO_new(LibCrypto.BIO_s_mem());
        if (_encrypted == 0 || LibSsl.SSL_set_rfd(_session, socket.Value) != 1)
        {
            Dispose();
            throw new TlsException("OpenSSL makes no session; is there no memory left?");
        }

        LibSsl.SSL_set0_wbio(_session, _encrypted);

        // SAFETY: a live session; names are pinned during the calls, which copy them.
        LibSsl.SSL_set_connect_state(_session);
        if (host is not null && owner.Kind == TlsKind.X509)
        {
            Expect(host);
        }
    }

    /// <summary>Why the session is broken; null as long as it is not.</summary>
    public TlsFailure? Failure { get; private set; }

    /// <summary>The version, such as <c>TLSv1.3</c>; after the handshake.</summary>
    public string Version => Marshal.PtrToStringUTF8((nint)LibSsl.SSL_get_version(_session)) ?? string.Empty;

    /// <summary>The cipher as OpenSSL names it; after the handshake.</summary>
    public string Cipher =>
        Marshal.PtrToStringUTF8((nint)LibSsl.SSL_CIPHER_get_name(LibSsl.SSL_get_current_cipher(_session))) ?? string.Empty;

    /// <summary>OpenSSL's text for a verification error.</summary>
    /// <param name="code">X509_V_ERR_.</param>
    public static string DescribeVerification(int code) =>
        Marshal.PtrToStringUTF8((nint)LibCrypto.X509_verify_cert_error_string(code)) ?? $"error {code}";

    /// <summary>A step of the handshake.</summary>
    public TlsStatus Handshake()
    {
        LibCrypto.ERR_clear_error();
        int result = LibSsl.SSL_do_handshake(_session);
        TlsStatus status = result == 1 ? TlsStatus.Ok : Judge(result);

        // Also an alert that tells the server why.
        TlsStatus sent = Flush();
        if (status == TlsStatus.Failed)
        {
            return status;
        }

        if (sent != TlsStatus.Ok)
        {
            return sent;
        }

        if (status != TlsStatus.Ok)
        {
            return status;
        }

        if (_owner.Kind != TlsKind.X509)
        {
            // Whoever has the key needs no certificate: one that has none of both must not get away with showing one.
            nint certificate = LibSsl.SSL_get1_peer_certificate(_session);
            if (certificate != 0)
            {
                LibCrypto.X509_free(certificate);
                Failure = new TlsFailure("the server showed a certificate instead of the key", 0, 0, Errno.EACCES);
                return TlsStatus.Failed;
            }
        }

        return TlsStatus.Ok;
    }

    /// <summary>Takes decrypted bytes: at most one record of 16 KiB.</summary>
    /// <param name="buffer">Where to; not empty.</param>
    /// <param name="count">Bytes taken, 0 unless the status is Ok.</param>
    public TlsStatus Read(Span<byte> buffer, out int count)
    {
        LibCrypto.ERR_clear_error();

        // SAFETY: the buffer is pinned during the call, and its length is passed.
        fixed (byte* p = buffer)
        {
            int result = LibSsl.SSL_read(_session, p, buffer.Length);
            count = Math.Max(result, 0);
            return result > 0 ? TlsStatus.Ok : Judge(result);
        }
    }

    /// <summary>Encrypted bytes wait for <see cref="Flush"/>, because the socket did not take them.</summary>
    public bool HasUnsent => _unsent > 0;

    /// <summary>Encrypts bytes, and sends them as far as the socket takes them; <see cref="HasUnsent"/> tells of the rest.</summary>
    /// <param name="buffer">What; not empty.</param>
    /// <param name="count">Bytes taken, maybe not all; 0 unless the status is Ok.</param>
    public TlsStatus Write(ReadOnlySpan<byte> buffer, out int count)
    {
        count = 0;
        TlsStatus status = Flush();
        if (status != TlsStatus.Ok)
        {
            return status;
        }

        LibCrypto.ERR_clear_error();
        int length = Math.Min(buffer.Length, EncryptBytes);

        // SAFETY: the buffer is pinned during the call, and its length is passed.
        fixed (byte* p = buffer)
        {
            while (count < length)
            {
                int result = LibSsl.SSL_write(_session, p + count, length - count);
                if (result <= 0)
                {
                    status = Judge(result);
                    return count > 0 && status != TlsStatus.Failed ? TlsStatus.Ok : status;
                }

                count += result;
            }
        }

        status = Flush();
        return status == TlsStatus.WantWrite ? TlsStatus.Ok : status;
    }

    /// <summary>Sends what is encrypted.</summary>
    /// <returns>WantWrite when the socket does not take all of it now.</returns>
    public TlsStatus Flush()
    {
        // SAFETY: a live BIO, whose memory stays where it is until something is written to it or it is reset.
        byte* records;
        int length = (int)LibCrypto.BIO_ctrl(_encrypted, BioInfo, 0, &records);
        while (_sent < length)
        {
            int sent = Posix.Send(_socket.Value, new ReadOnlySpan<byte>(records + _sent, length - _sent), SocketConstants.MSG_DONTWAIT);
            if (sent == -Errno.EAGAIN)
            {
                _unsent = length - _sent;
                return TlsStatus.WantWrite;
            }

            if (sent < 0)
            {
                Failure ??= new TlsFailure(Errno.Describe(sent), 0, 0, -sent);
                return TlsStatus.Failed;
            }

            _sent += sent;
        }

        (_sent, _unsent) = (0, 0);
        if (length > 0)
        {
            _ = LibCrypto.BIO_ctrl(_encrypted, BioReset, 0, null);
        }

        return TlsStatus.Ok;
    }

    /// <summary>Tells the peer that nothing more will come, if the socket takes it at once.</summary>
    public void SayGoodbye()
    {
        if (Failure is null)
        {
            LibCrypto.ERR_clear_error();
            _ = LibSsl.SSL_shutdown(_session);
            LibCrypto.ERR_clear_error();
            _ = Flush();
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        nint session = Interlocked.Exchange(ref _session, 0);
        if (session != 0)
        {
            LibSsl.SSL_free(session);
        }

        if (_referenced && !_released)
        {
            _released = true;
            _socket.DangerousRelease();
        }
    }

    private void Expect(string host)
    {
        nint parameters = LibSsl.SSL_get0_param(_session);
        int percent = host.IndexOf('%', StringComparison.Ordinal);
        string bare = (percent < 0 ? host : host[..percent]).TrimEnd('.');
        fixed (byte* name = TlsContext.Utf8(bare))
        {
            if (IPAddress.TryParse(bare, out _))
            {
                Check(LibCrypto.X509_VERIFY_PARAM_set1_ip_asc(parameters, name));
                return;
            }

            LibCrypto.X509_VERIFY_PARAM_set_hostflags(parameters, NoPartialWildcards);
            Check(LibCrypto.X509_VERIFY_PARAM_set1_host(parameters, name, 0));
            Check((int)LibSsl.SSL_ctrl(_session, CtrlHostName, 0, name));
        }

        void Check(int result)
        {
            if (result != 1)
            {
                Dispose();
                throw new TlsException(string.Create(
                    CultureInfo.InvariantCulture, $"a certificate cannot bear the name \"{host}\"; name the server by tls-hostname"));
            }
        }
    }

    private TlsStatus Judge(int result)
    {
        int errno = Marshal.GetLastSystemError();
        switch (LibSsl.SSL_get_error(_session, result))
        {
            case ErrorWantRead:
                return TlsStatus.WantRead;
            case ErrorWantWrite:
                return TlsStatus.WantWrite;
            case ErrorZeroReturn:
                return TlsStatus.Closed;
            case ErrorSystem:
                Failure = TlsContext.TakeFailure(0, errno);
                return TlsStatus.Failed;
            case ErrorSsl:
            default:
                int verification = _owner.Kind == TlsKind.X509 && _owner.VerifiesPeer ? (int)LibSsl.SSL_get_verify_result(_session) : 0;
                Failure = TlsContext.TakeFailure(verification, 0);
                return TlsStatus.Failed;
        }
    }
}
