namespace NbdFuse.Boot;

/// <summary>What goes into an initramfs.</summary>
public sealed record InitramfsOptions
{
    /// <summary>Our program: one published file. Null when <see cref="Runtime"/> is given.</summary>
    public string? Program { get; init; }

    /// <summary>Directory of a .NET runtime (dotnet, host/fxr, shared) that runs <see cref="Code"/>; null for none.</summary>
    public string? Runtime { get; init; }

    /// <summary>Directory with nbdfuse.dll and what it needs, for <see cref="Runtime"/>; null for none.</summary>
    public string? Code { get; init; }

    /// <summary>Directory that stands for / when libraries and busybox are looked for: of the machine that boots.</summary>
    public string Root { get; init; } = "/";

    /// <summary>Architecture, as <c>uname -m</c> prints it, that all programs must have; null for that of our program.</summary>
    public string? Architecture { get; init; }

    /// <summary>A static busybox; null to look for one.</summary>
    public string? Busybox { get; init; }

    /// <summary>Such as /lib/modules/6.12.0; null for a kernel that has all that is needed built in.</summary>
    public string? Modules { get; init; }

    /// <summary>Drivers that must work: names of <see cref="BootArguments.Drivers"/>; empty for those that the kernel has.</summary>
    public IReadOnlyList<string> Drivers { get; init; } = [];

    /// <summary>Further modules, by name.</summary>
    public IReadOnlyList<string> ExtraModules { get; init; } = [];

    /// <summary>Further files and directories, that keep their paths; programs with their libraries.</summary>
    public IReadOnlyList<string> With { get; init; } = [];

    /// <summary>A trace of a boot, by which the next ones are read ahead; null for none.</summary>
    public string? Prefetch { get; init; }

    /// <summary>
    /// Directory with ca-cert.pem, and client-cert.pem, client-key.pem, ca-crl.pem as far as they are there, for TLS at boot; null for
    /// none. The initramfs then holds OpenSSL, too.
    /// </summary>
    public string? TlsCertificates { get; init; }

    /// <summary>File with a pre-shared key for TLS at boot; null for none. Not together with <see cref="TlsCertificates"/>.</summary>
    public string? TlsPsk { get; init; }

    /// <summary>Whether the initramfs holds a secret: nobody else may read it then.</summary>
    public bool HasSecret => (TlsPsk ?? TlsCertificates) is not null;

    /// <summary>Wrap the archive for U-Boot (mkimage's legacy format).</summary>
    public bool IsUImage { get; init; }

    /// <summary>Time of all files, in seconds since 1970.</summary>
    public long Time { get; init; }
}
