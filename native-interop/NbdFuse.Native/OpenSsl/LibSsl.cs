using System.Runtime.InteropServices;

namespace NbdFuse.Native;

/// <summary>
/// Entry points of OpenSSL 3's libssl, one to one. The library is loaded at the first call, so that a machine without it
/// can do all but TLS.
/// </summary>
internal static unsafe partial class LibSsl
{
    internal const string Name = "libssl.so.3";

    [LibraryImport(Name)]
    internal static partial nint TLS_client_method();

    [LibraryImport(Name)]
    internal static partial nint SSL_CTX_new(nint method);

    [LibraryImport(Name)]
    internal static partial void SSL_CTX_free(nint context);

    // long arguments and result: 64 bits on the two architectures that this runs on.
    [LibraryImport(Name)]
    internal static partial long SSL_CTX_ctrl(nint context, int command, long argument, void* pointer);

    [LibraryImport(Name)]
    internal static partial ulong SSL_CTX_set_options(nint context, ulong options);

    [LibraryImport(Name)]
    internal static partial void SSL_CTX_set_default_read_buffer_len(nint context, nuint length);

    [LibraryImport(Name)]
    internal static partial int SSL_CTX_set_cipher_list(nint context, byte* ciphers);

    [LibraryImport(Name)]
    internal static partial int SSL_CTX_set_ciphersuites(nint context, byte* ciphers);

    [LibraryImport(Name)]
    internal static partial void SSL_CTX_set_verify(nint context, int mode, void* callback);

    [LibraryImport(Name)]
    internal static partial int SSL_CTX_set_default_verify_paths(nint context);

    [LibraryImport(Name)]
    internal static partial int SSL_CTX_load_verify_locations(nint context, byte* file, byte* directory);

    [LibraryImport(Name)]
    internal static partial nint SSL_CTX_get_cert_store(nint context);

    [LibraryImport(Name)]
    internal static partial int SSL_CTX_use_certificate_chain_file(nint context, byte* file);

    [LibraryImport(Name)]
    internal static partial int SSL_CTX_use_PrivateKey_file(nint context, byte* file, int type);

    [LibraryImport(Name)]
    internal static partial int SSL_CTX_check_private_key(nint context);

    [LibraryImport(Name)]
    internal static partial void SSL_CTX_set_default_passwd_cb(
        nint context, delegate* unmanaged[Cdecl]<byte*, int, int, void*, int> callback);

    [LibraryImport(Name)]
    internal static partial void SSL_CTX_set_psk_client_callback(
        nint context, delegate* unmanaged[Cdecl]<nint, byte*, byte*, uint, byte*, uint, uint> callback);

    [LibraryImport(Name)]
    internal static partial int SSL_CTX_set_ex_data(nint context, int index, nint data);

    [LibraryImport(Name)]
    internal static partial nint SSL_CTX_get_ex_data(nint context, int index);

    [LibraryImport(Name)]
    internal static partial nint SSL_new(nint context);

    [LibraryImport(Name)]
    internal static partial void SSL_free(nint session);

    [LibraryImport(Name)]
    internal static partial int SSL_set_rfd(nint session, int fd);

    [LibraryImport(Name)]
    internal static partial void SSL_set0_wbio(nint session, nint bio);

    [LibraryImport(Name)]
    internal static partial void SSL_set_connect_state(nint session);

    [LibraryImport(Name)]
    internal static partial nint SSL_get_SSL_CTX(nint session);

    [LibraryImport(Name)]
    internal static partial nint SSL_get0_param(nint session);

    [LibraryImport(Name)]
    internal static partial long SSL_ctrl(nint session, int command, long argument, void* pointer);

    [LibraryImport(Name)]
    internal static partial int SSL_do_handshake(nint session);

    [LibraryImport(Name)]
    internal static partial int SSL_read(nint session, void* buffer, int length);

    [LibraryImport(Name)]
    internal static partial int SSL_write(nint session, void* buffer, int length);

    [LibraryImport(Name)]
    internal static partial int SSL_shutdown(nint session);

    [LibraryImport(Name)]
    internal static partial int SSL_get_error(nint session, int result);

    [LibraryImport(Name)]
    internal static partial long SSL_get_verify_result(nint session);

    [LibraryImport(Name)]
    internal static partial nint SSL_get1_peer_certificate(nint session);

    [LibraryImport(Name)]
    internal static partial byte* SSL_get_version(nint session);

    [LibraryImport(Name)]
    internal static partial nint SSL_get_current_cipher(nint session);

    [LibraryImport(Name)]
    internal static partial byte* SSL_CIPHER_get_name(nint cipher);
}
