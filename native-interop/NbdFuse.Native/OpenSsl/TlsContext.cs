using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;

namespace NbdFuse.Native;

/// <summary>
/// What all TLS connections of a client have in common: versions, ciphers, whom to trust, who we are (OpenSSL's SSL_CTX). TLS
/// 1.2 and 1.3, ciphers with authenticated encryption only, no renegotiation, no resumption. Set up by one thread, then
/// immutable; sessions may be made from any thread.
/// </summary>
public sealed unsafe class TlsContext : IDisposable
{
    /// <summary>Longest name of a pre-shared key, in bytes (PSK_MAX_IDENTITY_LEN of ssl.h, less the NUL).</summary>
    public const int MaximumIdentityBytes = 255;

    /// <summary>Longest pre-shared key, in bytes (PSK_MAX_PSK_LEN of ssl.h).</summary>
    public const int MaximumKeyBytes = 512;

    // ssl.h and tls1.h.
    private const int CtrlMode = 33;
    private const int CtrlReadAhead = 41;
    private const int CtrlSessionCacheMode = 44;
    private const int CtrlMinimumVersion = 123;
    private const int CtrlMaximumVersion = 124;
    private const int Tls12 = 0x0303;
    private const int ModePartialWrite = 1;
    private const int ModeMovingBuffer = 2;
    private const ulong OptionNoRenegotiation = 1UL << 30;
    private const ulong OptionNoTicket = 1UL << 14;
    private const int VerifyNone = 0;
    private const int VerifyPeerMode = 1;
    private const int PemType = 1;
    private const nuint CrlCheck = 4;

    // Several records come with one system call.
    private const int ReadBufferBytes = 128 * 1024;

    // AES with 128 bits first: a third faster than with 256, and the hash of pre-shared keys is SHA-256 (RFC 8446, 4.2.11).
    private const string Suites13 = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
    private const string Ciphers12 = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:!aNULL:!PSK";
    private const string CiphersPsk12 =
        "ECDHE-PSK-CHACHA20-POLY1305:DHE-PSK-AES128-GCM-SHA256:DHE-PSK-AES256-GCM-SHA384:DHE-PSK-CHACHA20-POLY1305:"
        + "PSK-AES128-GCM-SHA256:PSK-AES256-GCM-SHA384:PSK-CHACHA20-POLY1305";

    // Its security level 0 is what lets OpenSSL speak without authentication; the ciphers themselves are the strong ones.
    private const string CiphersAnonymous = "ADH-AES128-GCM-SHA256:ADH-AES256-GCM-SHA384:AECDH-AES128-SHA:AECDH-AES256-SHA:@SECLEVEL=0";

    // The callback of OpenSSL knows a number only: one that is no longer in here yields no key, instead of a dead pointer.
    private static readonly ConcurrentDictionary<nint, PreSharedKey> Keys = new();
    private static int _lastKey;

    private readonly nint _keyNumber;
    private nint _context;

    private TlsContext(TlsKind kind, PreSharedKey? key)
    {
        Kind = kind;
        try
        {
            _context = LibSsl.SSL_CTX_new(LibSsl.TLS_client_method());
        }
        catch (Exception e) when (e is DllNotFoundException or EntryPointNotFoundException)
        {
            throw new TlsException(
                $"TLS needs OpenSSL 3 ({LibSsl.Name}), which this system does not have; install it (Debian: apt install libssl3)", e);
        }

        if (_context == 0)
        {
            throw Failure("OpenSSL does not start");
        }

        // SAFETY: the context was just made and nobody else has it; no call keeps a pointer of ours but the two static functions.
        LibSsl.SSL_CTX_ctrl(_context, CtrlMinimumVersion, Tls12, null);
        LibSsl.SSL_CTX_ctrl(_context, CtrlMode, ModePartialWrite | ModeMovingBuffer, null);
        LibSsl.SSL_CTX_ctrl(_context, CtrlReadAhead, 1, null);
        LibSsl.SSL_CTX_ctrl(_context, CtrlSessionCacheMode, 0, null);
        LibSsl.SSL_CTX_set_options(_context, OptionNoRenegotiation | OptionNoTicket);
        LibSsl.SSL_CTX_set_default_read_buffer_len(_context, ReadBufferBytes);

        // Otherwise a key file with a pass phrase makes OpenSSL ask for it on the terminal.
        LibSsl.SSL_CTX_set_default_passwd_cb(_context, &NoPassPhrase);
        fixed (byte* suites = Utf8(Suites13), ciphers = Utf8(CiphersOf(kind)))
        {
            if (LibSsl.SSL_CTX_set_ciphersuites(_context, suites) != 1 || LibSsl.SSL_CTX_set_cipher_list(_context, ciphers) != 1)
            {
                throw Failure("this OpenSSL has none of the ciphers that are needed");
            }
        }

        // With a pre-shared key, too: the store of trusted certificates is empty then, so that a peer who does not know the key
        // and shows a certificate instead is refused.
        LibSsl.SSL_CTX_set_verify(_context, kind == TlsKind.Anonymous ? VerifyNone : VerifyPeerMode, null);
        if (kind == TlsKind.Anonymous)
        {
            // TLS 1.3 has no anonymous handshake.
            LibSsl.SSL_CTX_ctrl(_context, CtrlMaximumVersion, Tls12, null);
        }

        if (key is not null)
        {
            _keyNumber = Interlocked.Increment(ref _lastKey);
            Keys[_keyNumber] = key;
            LibSsl.SSL_CTX_set_ex_data(_context, 0, _keyNumber);
            LibSsl.SSL_CTX_set_psk_client_callback(_context, &FindKey);
        }
    }

    /// <summary>How the ends know each other.</summary>
    public TlsKind Kind { get; }

    /// <summary>Whether the peer's certificate is verified.</summary>
    public bool VerifiesPeer { get; private set; } = true;

    /// <summary>For certificates. Nobody is trusted yet.</summary>
    /// <exception cref="TlsException">OpenSSL is missing.</exception>
    public static TlsContext CreateX509() => new(TlsKind.X509, null);

    /// <summary>For a pre-shared key.</summary>
    /// <param name="identity">Its name, at most <see cref="MaximumIdentityBytes"/> of UTF-8.</param>
    /// <param name="key">The key, 1 to <see cref="MaximumKeyBytes"/> bytes; copied.</param>
    /// <exception cref="TlsException">OpenSSL is missing.</exception>
    public static TlsContext CreatePsk(string identity, ReadOnlySpan<byte> key)
    {
        byte[] name = Utf8(identity);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(name.Length - 1, MaximumIdentityBytes, nameof(identity));
        ArgumentOutOfRangeException.ThrowIfZero(key.Length, nameof(key));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(key.Length, MaximumKeyBytes, nameof(key));
        return new TlsContext(TlsKind.Psk, new PreSharedKey(name, key.ToArray()));
    }

    /// <summary>For encryption without authentication.</summary>
    /// <exception cref="TlsException">OpenSSL is missing.</exception>
    public static TlsContext CreateAnonymous() => new(TlsKind.Anonymous, null);

    /// <summary>Accepts whatever certificate the peer shows.</summary>
    public void TrustAnybody()
    {
        // SAFETY: a live context; no pointer is kept.
        LibSsl.SSL_CTX_set_verify(_context, VerifyNone, null);
        VerifiesPeer = false;
    }

    /// <summary>Trusts the system's authorities.</summary>
    public void TrustSystem()
    {
        if (LibSsl.SSL_CTX_set_default_verify_paths(_context) != 1)
        {
            throw Failure("the system's certificate authorities cannot be used");
        }
    }

    /// <summary>Trusts the authorities in a file.</summary>
    /// <param name="path">PEM, one or more certificates.</param>
    /// <exception cref="TlsException">It cannot be read.</exception>
    public void Trust(string path) => Use(
        path, "holds no certificate of an authority", file => LibSsl.SSL_CTX_load_verify_locations(_context, (byte*)file, null));

    /// <summary>Refuses peers whose certificate is revoked.</summary>
    /// <param name="path">PEM, one or more revocation lists.</param>
    /// <exception cref="TlsException">It cannot be read.</exception>
    public void UseRevocations(string path)
    {
        // SAFETY: the store belongs to the context, which is alive.
        nint store = LibSsl.SSL_CTX_get_cert_store(_context);
        Use(path, "holds no revocation list", file => LibCrypto.X509_STORE_load_file(store, (byte*)file));
        LibCrypto.X509_STORE_set_flags(store, CrlCheck);
    }

    /// <summary>Shows a certificate to servers that ask for one.</summary>
    /// <param name="certificate">PEM, the own certificate first, then those between it and the authority.</param>
    /// <param name="key">PEM, its private key, without pass phrase.</param>
    /// <exception cref="TlsException">They cannot be read or do not belong together.</exception>
    public void UseCertificate(string certificate, string key)
    {
        Use(certificate, "holds no certificate", file => LibSsl.SSL_CTX_use_certificate_chain_file(_context, (byte*)file));
        Use(
            key,
            $"holds no private key without pass phrase, or not that of {certificate}",
            file => LibSsl.SSL_CTX_use_PrivateKey_file(_context, (byte*)file, PemType));
        if (LibSsl.SSL_CTX_check_private_key(_context) != 1)
        {
            throw Failure($"the key {key} does not belong to the certificate {certificate}");
        }
    }

    /// <summary>Prepares a client's session on a connected socket; nothing is sent yet.</summary>
    /// <param name="socket">The socket, non-blocking; the session keeps a reference until it is disposed.</param>
    /// <param name="host">Name or address that the peer's certificate must bear; null when any will do that is trusted.</param>
    public TlsSession Open(FileDescriptor socket, string? host) => new(_context, this, socket, host);

    /// <inheritdoc/>
    public void Dispose()
    {
        Keys.TryRemove(_keyNumber, out _);
        nint context = Interlocked.Exchange(ref _context, 0);
        if (context != 0)
        {
            // Sessions have references of their own.
            LibSsl.SSL_CTX_free(context);
        }
    }

    /// <summary>A NUL-terminated UTF-8 copy.</summary>
    internal static byte[] Utf8(string text)
    {
        if (text.Contains('\0'))
        {
            throw new ArgumentException("The text contains a NUL character.", nameof(text));
        }

        byte[] bytes = new byte[Encoding.UTF8.GetByteCount(text) + 1];
        Encoding.UTF8.GetBytes(text, bytes);
        return bytes;
    }

    /// <summary>The last error of this thread's OpenSSL calls, as the first of its queue.</summary>
    internal static TlsFailure TakeFailure(int verification, int errno)
    {
        nuint first = LibCrypto.ERR_get_error();
        LibCrypto.ERR_clear_error();

        // err.h of OpenSSL 3: a flag for errors of the system, 8 bits for the library (20 is libssl), 23 for the reason.
        const uint SystemFlag = 0x8000_0000;
        const int SslLibrary = 20;
        if (first == 0 || ((uint)first & SystemFlag) != 0)
        {
            int error = first == 0 ? errno : (int)((uint)first & ~SystemFlag);
            string text = error == 0 ? "the connection was closed" : Errno.Describe(error);
            return new TlsFailure(text, 0, verification, error);
        }

        int library = (int)(((uint)first >> 23) & 0xFF);
        int reason = library == SslLibrary ? (int)((uint)first & 0x7F_FFFF) : 0;

        // SAFETY: a static string of the library, or null.
        string? described = Marshal.PtrToStringUTF8((nint)LibCrypto.ERR_reason_error_string(first));
        return new TlsFailure(described ?? $"error {first:x}", reason, verification, 0);
    }

    private static string CiphersOf(TlsKind kind) => kind switch
    {
        TlsKind.Psk => CiphersPsk12,
        TlsKind.Anonymous => CiphersAnonymous,
        _ => Ciphers12,
    };

    private static TlsException Failure(string what) => new($"{what}: {TakeFailure(0, 0).Text}");

    private static void Use(string path, string refused, Func<nint, int> load)
    {
        LibCrypto.ERR_clear_error();

        // SAFETY: the name is pinned during the call, which copies what it needs.
        fixed (byte* file = Utf8(path))
        {
            if (load((nint)file) != 1)
            {
                throw Failure($"{path} {refused}");
            }
        }
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int NoPassPhrase(byte* buffer, int size, int isWriting, void* data) => -1;

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static uint FindKey(nint session, byte* hint, byte* identity, uint identitySize, byte* key, uint keySize)
    {
        // SAFETY: OpenSSL passes a live session and two buffers of the sizes that it names.
        nint number = LibSsl.SSL_CTX_get_ex_data(LibSsl.SSL_get_SSL_CTX(session), 0);
        if (!Keys.TryGetValue(number, out PreSharedKey? found) || found.Name.Length > identitySize || found.Key.Length > keySize)
        {
            return 0;
        }

        found.Name.CopyTo(new Span<byte>(identity, (int)identitySize));
        found.Key.CopyTo(new Span<byte>(key, (int)keySize));
        return (uint)found.Key.Length;
    }

    private sealed record PreSharedKey(byte[] Name, byte[] Key);
}
