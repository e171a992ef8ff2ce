using System.Runtime.InteropServices;

namespace NbdFuse.Native;

/// <summary>Entry points of OpenSSL 3's libcrypto, one to one; loaded at the first call.</summary>
internal static unsafe partial class LibCrypto
{
    private const string Name = "libcrypto.so.3";

    [LibraryImport(Name)]
    internal static partial nint BIO_s_mem();

    [LibraryImport(Name)]
    internal static partial nint BIO_new(nint method);

    [LibraryImport(Name)]
    internal static partial long BIO_ctrl(nint bio, int command, long argument, void* pointer);

    [LibraryImport(Name)]
    internal static partial void ERR_clear_error();

    [LibraryImport(Name)]
    internal static partial nuint ERR_get_error();

    [LibraryImport(Name)]
    internal static partial byte* ERR_reason_error_string(nuint error);

    [LibraryImport(Name)]
    internal static partial byte* X509_verify_cert_error_string(long code);

    [LibraryImport(Name)]
    internal static partial void X509_free(nint certificate);

    [LibraryImport(Name)]
    internal static partial int X509_STORE_load_file(nint store, byte* file);

    [LibraryImport(Name)]
    internal static partial int X509_STORE_set_flags(nint store, nuint flags);

    [LibraryImport(Name)]
    internal static partial int X509_VERIFY_PARAM_set1_host(nint parameters, byte* name, nuint length);

    [LibraryImport(Name)]
    internal static partial int X509_VERIFY_PARAM_set1_ip_asc(nint parameters, byte* address);

    [LibraryImport(Name)]
    internal static partial void X509_VERIFY_PARAM_set_hostflags(nint parameters, uint flags);
}
