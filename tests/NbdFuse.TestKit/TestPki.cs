using NbdFuse.Native;

namespace NbdFuse.TestKit;

/// <summary>Authorities, certificates and keys of the tests, made by openssl. Directories as nbdkit, QEMU and libnbd name their files.</summary>
public sealed class TestPki : IDisposable
{
    /// <summary>The user of <see cref="PskFile"/>.</summary>
    public const string User = "alice";

    private const string Subject = "subjectAltName=DNS:localhost,DNS:nbd.example,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n";
    private readonly TempDirectory _directory = new();

    /// <summary>Makes them; some 0.2 s. Skips the test where there is no openssl.</summary>
    public TestPki()
    {
        Requires.Command("openssl");
        MakeAuthority("server");
        MakeAuthority("other");
        Sign("server", "server", Subject);
        Sign("server", "client", "extendedKeyUsage=clientAuth\n");
        Copy("server", "client", "ca-cert.pem", "client-cert.pem", "client-key.pem");
        Copy("server", "trusting", "ca-cert.pem");
        Copy("other", "stranger", "ca-cert.pem");

        // The same authority signs a certificate that ended before it began.
        Copy("server", "expired", "ca-cert.pem", "ca-key.pem");
        Sign("expired", "server", Subject, days: -1);

        // A certificate of the right authority, but for clients.
        Copy("server", "misused", "ca-cert.pem", "ca-key.pem");
        Sign("misused", "server", "subjectAltName=DNS:localhost\nextendedKeyUsage=clientAuth\n");

        PskFile = Key("keys.psk", "alice:0123456789abcdef0123456789abcdef\nbob:00112233445566778899aabbccddeeff\n");
        SinglePskFile = Key("single.psk", "alice:0123456789abcdef0123456789abcdef\n");
        WrongPskFile = Key("wrong.psk", "alice:ffffffffffffffff0123456789abcdef\n");

        // QEMU wants the file under a name of its own.
        Directory.CreateDirectory(_directory["psk"]);
        Key("psk/keys.psk", File.ReadAllText(PskFile));
        PskDirectory = _directory["psk"];
    }

    /// <summary>The server's: ca-cert.pem, server-cert.pem for localhost, nbd.example and 127.0.0.1, server-key.pem.</summary>
    public string Server => _directory["server"];

    /// <summary>A server's whose certificate has expired.</summary>
    public string Expired => _directory["expired"];

    /// <summary>A server's whose certificate is meant for clients.</summary>
    public string Misused => _directory["misused"];

    /// <summary>A client's that has a certificate.</summary>
    public string Client => _directory["client"];

    /// <summary>A client's that has the authority only.</summary>
    public string Trusting => _directory["trusting"];

    /// <summary>A client's that trusts another authority.</summary>
    public string Stranger => _directory["stranger"];

    /// <summary>The keys of alice and bob.</summary>
    public string PskFile { get; }

    /// <summary>The key of alice alone.</summary>
    public string SinglePskFile { get; }

    /// <summary>A directory with that file, as keys.psk.</summary>
    public string PskDirectory { get; }

    /// <summary>Another key of alice.</summary>
    public string WrongPskFile { get; }

    /// <inheritdoc/>
    public void Dispose() => _directory.Dispose();

    private void MakeAuthority(string name)
    {
        Directory.CreateDirectory(_directory[name]);
        Tool.Run(
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", $"/CN=authority {name}", "-keyout", _directory[$"{name}/ca-key.pem"], "-out", _directory[$"{name}/ca-cert.pem"])
            .EnsureSuccess();
    }

    private void Sign(string directory, string role, string extensions, int days = 2)
    {
        string path = _directory[directory];
        string request = _directory["request.pem"];
        string extensionFile = _directory.CreateFile("extensions", System.Text.Encoding.ASCII.GetBytes(extensions));
        Tool.Run(
            "openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", $"/CN={role}",
            "-keyout", $"{path}/{role}-key.pem", "-out", request).EnsureSuccess();
        Tool.Run(
            "openssl", "x509", "-req", "-in", request, "-CA", $"{path}/ca-cert.pem", "-CAkey", $"{path}/ca-key.pem",
            "-set_serial", $"{Random.Shared.Next(1, int.MaxValue)}", "-days", $"{days}", "-extfile", extensionFile, "-out", $"{path}/{role}-cert.pem")
            .EnsureSuccess();
    }

    private void Copy(string from, string to, params string[] files)
    {
        Directory.CreateDirectory(_directory[to]);
        foreach (string file in files)
        {
            File.Copy(_directory[$"{from}/{file}"], _directory[$"{to}/{file}"]);
            MakePrivate(_directory[$"{to}/{file}"]);
        }
    }

    // rw for the owner.
    private static void MakePrivate(string path) => PosixException.Check(Posix.Chmod(path, 0x180), path);

    private string Key(string name, string content)
    {
        string path = _directory.CreateFile(name, System.Text.Encoding.ASCII.GetBytes(content));
        MakePrivate(path);
        return path;
    }
}
