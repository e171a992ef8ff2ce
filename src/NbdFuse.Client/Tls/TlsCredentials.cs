using Microsoft.Extensions.Logging;
using NbdFuse.Native;
using NbdFuse.Protocol;

namespace NbdFuse.Client;

/// <summary>Reads credentials from files, once: a reconnection must not depend on files that may lie on the lost device.</summary>
internal static class TlsCredentials
{
    private const string Authority = "ca-cert.pem";
    private const string Revocations = "ca-crl.pem";
    private const string Certificate = "client-cert.pem";
    private const string Key = "client-key.pem";

    // A bundle of all authorities of the world has a quarter of a megabyte.
    private const int MaximumPemBytes = 16 << 20;

    /// <summary>Makes the context.</summary>
    /// <param name="options">Where the credentials are.</param>
    /// <param name="host">Name that the server's certificate must bear, or null when there is none to compare with.</param>
    /// <param name="logger">Gets warnings.</param>
    /// <param name="hasCertificate">Whether there is a certificate to show to the server.</param>
    /// <param name="user">Whose pre-shared key was found, or null.</param>
    /// <exception cref="NbdConnectException">They cannot be used.</exception>
    public static TlsContext Load(
        NbdTlsOptions options, string? host, ILogger logger, out bool hasCertificate, out string? user)
    {
        hasCertificate = false;
        user = null;
        try
        {
            return (options.Type ?? (options.PskFile is null ? NbdTlsType.X509 : NbdTlsType.Psk)) switch
            {
                NbdTlsType.Psk => LoadKey(options, logger, out user),
                NbdTlsType.Anonymous => LoadNothing(logger),
                _ => LoadCertificates(options, host, logger, out hasCertificate),
            };
        }
        catch (TlsException e)
        {
            throw Failure(e.Message, e);
        }
    }

    private static TlsContext LoadNothing(ILogger logger)
    {
        Log.TlsUnverified(logger, "tls-type=anon");
        return TlsContext.CreateAnonymous();
    }

    private static TlsContext LoadKey(NbdTlsOptions options, ILogger logger, out string? user)
    {
        string path = options.PskFile ?? throw Failure("tls-type=psk needs a file with the key: give tls-psk-file=FILE or --tls-psk FILE");
        Check(path, PskFile.MaximumBytes, isSecret: true, logger);
        byte[] content;
        try
        {
            content = File.ReadAllBytes(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw Failure($"{path}: {e.Message}", e);
        }

        try
        {
            string login = Environment.GetEnvironmentVariable("LOGNAME") is { Length: > 0 } name ? name : Environment.UserName;
            byte[]? key;
            if (!PskFile.TryFind(content, options.UserName ?? login, out user, out key, out string? error)
                && (options.UserName is not null || !PskFile.TryFind(content, null, out user, out key, out error)))
            {
                throw Failure($"{path} {error}");
            }

            TlsContext context = TlsContext.CreatePsk(user!, key);
            Array.Clear(key!);
            return context;
        }
        finally
        {
            Array.Clear(content);
        }
    }

    private static TlsContext LoadCertificates(NbdTlsOptions options, string? host, ILogger logger, out bool hasCertificate)
    {
        string? directory = options.CertificatesDirectory ?? FindDirectory();
        TlsContext context = TlsContext.CreateX509();
        try
        {
            if (!options.VerifyPeer)
            {
                Log.TlsUnverified(logger, "tls-verify-peer=0");
                context.TrustAnybody();
            }
            else if (directory is not null)
            {
                string authority = Path.Combine(directory, Authority);
                Check(authority, MaximumPemBytes, isSecret: false, logger);
                context.Trust(authority);
                string revocations = Path.Combine(directory, Revocations);
                if (File.Exists(revocations))
                {
                    Check(revocations, MaximumPemBytes, isSecret: false, logger);
                    context.UseRevocations(revocations);
                }

                if (host is null)
                {
                    Log.TlsAnyName(logger, authority);
                }
            }
            else if (host is null)
            {
                // Any holder of any certificate of the world would do.
                throw Failure(
                    "there is no host name to verify the server's certificate by; give tls-hostname=NAME (--tls-hostname NAME), "
                    + "or the server's own authority by tls-certificates=DIR");
            }
            else
            {
                context.TrustSystem();
            }

            hasCertificate = directory is not null && UseOwn(context, directory, logger);

            return context;
        }
        catch
        {
            context.Dispose();
            throw;
        }
    }

    private static bool UseOwn(TlsContext context, string directory, ILogger logger)
    {
        string certificate = Path.Combine(directory, Certificate);
        string key = Path.Combine(directory, Key);
        bool hasCertificate = File.Exists(certificate);
        if (hasCertificate != File.Exists(key))
        {
            throw Failure($"{directory} holds only one of {Certificate} and {Key}; they go together");
        }

        if (hasCertificate)
        {
            Check(certificate, MaximumPemBytes, isSecret: false, logger);
            Check(key, MaximumPemBytes, isSecret: true, logger);
            context.UseCertificate(certificate, key);
        }

        return hasCertificate;
    }

    // libnbd's: of the user, or of root.
    private static string? FindDirectory()
    {
        string? home = Environment.GetEnvironmentVariable("HOME");
        string[] candidates = Posix.GetEuid() == 0 || string.IsNullOrEmpty(home)
            ? ["/etc/pki/libnbd"]
            : [Path.Combine(home, ".pki/libnbd"), Path.Combine(home, ".config/pki/libnbd")];
        return Array.Find(candidates, candidate => File.Exists(Path.Combine(candidate, Authority)));
    }

    private static void Check(string path, long maximum, bool isSecret, ILogger logger)
    {
        int result = Posix.Stat(path, out FileStatus status);
        if (result < 0)
        {
            throw Failure($"{path}: {Errno.Describe(result)}; is it there, and may this user read it?");
        }

        if (!status.IsRegular || status.Size > maximum)
        {
            throw Failure($"{path} is {(status.IsRegular ? $"larger than {maximum} bytes" : "no file")}; it cannot be what TLS needs");
        }

        if (!isSecret)
        {
            return;
        }

        const uint Others = 0x3F;
        if ((status.Mode & Others) != 0)
        {
            Log.TlsLooseKey(logger, path, "others than its owner may open it: chmod 600");
        }
        else if (status.Uid != Posix.GetEuid() && status.Uid != 0)
        {
            Log.TlsLooseKey(logger, path, "it belongs to another user, who may read it: chown");
        }
    }

    private static NbdConnectException Failure(string message, Exception? inner = null) =>
        new(NbdConnectFailure.TlsCredentials, message, inner);
}
