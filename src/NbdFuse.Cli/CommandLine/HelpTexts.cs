using System.Reflection;

namespace NbdFuse.Cli;

/// <summary>Texts that the command prints about itself.</summary>
internal static class HelpTexts
{
    /// <summary>The usage: what --help prints, and what follows a usage error. libnbd's layout, with the additions.</summary>
    public const string Usage = """

        Mount NBD server as a virtual file:

            nbdfuse [-C N|--connections N] [-d] [-o FUSE-OPTION] [-P PIDFILE]
                    [-r] [-s] [-v]
                    MOUNTPOINT[/FILENAME] URI

        Other modes:

            nbdfuse MOUNTPOINT[/FILENAME] [ CMD [ARGS ...] ]
            nbdfuse MOUNTPOINT[/FILENAME] --command CMD [ARGS ...]
            nbdfuse MOUNTPOINT[/FILENAME] --fd N
            nbdfuse MOUNTPOINT[/FILENAME] --tcp HOST PORT
            nbdfuse MOUNTPOINT[/FILENAME] --unix SOCKET
            nbdfuse MOUNTPOINT[/FILENAME] --vsock CID PORT

        To unmount:

            fusermount3 -u MOUNTPOINT

        Options beyond libnbd's nbdfuse:

            --export NAME      export to open, for the modes without a URI
            --punch=zero|trim  what punching holes does (default: zero, the safe one)
            --spin=auto|off    poll for a moment before sleeping (default: auto)
            --movers N         threads for large payloads
            --cache SIZE       memory for hot blocks (default: 8M; 0: none)
            --readahead SIZE   memory for reading ahead (default: 24M; 0: none)
            --reconnect-timeout SECONDS|never
                               how long a lost server is waited for (default: never
                               give up; 0: its loss is an error at once)
            --request-timeout SECONDS
                               answer older requests with an error (default: off)
            --on-timeout=error|wait
                               what happens then (default: error; wait: only say so)
            --write-log SIZE   unflushed writes kept for a server that crashes
                               (default: 24M; 0: none)
            --shared           others write to the export, too: no write log
            --no-extended-headers
                               talk to the server as to older ones
            --also URI         another server with the same export, should this one be
                               lost (repeatable; for exports that are only read)
            --failover=shared-storage
                               also for writing: all servers have the same storage
            --respawn          start a lost server again (--command, [ CMD ])
            --keeper           the file survives the death of the process that
                               serves it (Linux 4.20)
            --record FILE      record which blocks are read, in their order
            --prefetch FILE    read those of an earlier record ahead
            --tls=off|allow|require
                               encrypt (default: require for nbds://, else off)
            --tls-certificates DIR, --tls-psk FILE, --tls-hostname NAME
                               whom to trust, and who we are
            -q, --quiet        log errors only
            --debug            show stack traces of errors

        Other commands (they win over mountpoints of these names: write ./info):

            nbdfuse info [--json] [--size] [--no-content] [--is|--can WHAT] URI
            nbdfuse list [--json] URI
            nbdfuse map [--json] [--context NAME] [--totals] URI
            nbdfuse serve [--port N|--unix PATH] [--read-only] --memory SIZE|FILE
            nbdfuse attach [--driver NAME] [--device DEV] [-r] [--foreground] URI
            nbdfuse detach [--force] DEV|MOUNTPOINT
            nbdfuse status [--json]
            nbdfuse upgrade MOUNTPOINT|DEV
            nbdfuse initramfs -o FILE [--kernel VERSION|--modules DIR] [--with PATH]
            nbdfuse install-hooks [--initramfs-tools|--dracut] [--uninstall]
            nbdfuse help [info|list|map|serve|attach|detach|status|upgrade|
                          initramfs]

        Other options:

            nbdfuse --help
            nbdfuse --fuse-help
            nbdfuse -V|--version

        Exit codes: 0 unmounted by somebody else, 1 error or ended by a signal.

        """;

    /// <summary>What --version prints.</summary>
    public static string Version => $"nbdfuse {VersionNumber}\n";

    /// <summary>Version of the program, such as 0.1.0.</summary>
    public static string VersionNumber
    {
        get
        {
            string version = typeof(HelpTexts).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "0";

            // The build adds "+" and the revision of the source.
            int plus = version.IndexOf('+', StringComparison.Ordinal);
            return plus < 0 ? version : version[..plus];
        }
    }

    /// <summary>What --long-options prints: names for shell completion.</summary>
    public static string LongOptions =>
        string.Concat(NbdfuseArgumentParser.Options.Where(o => o.IsListed && o.Long is not null).Select(o => $"--{o.Long}\n"));

    /// <summary>What --short-options prints: letters for shell completion.</summary>
    public static string ShortOptions =>
        string.Concat(NbdfuseArgumentParser.Options.Where(o => o.IsListed && o.Short != '\0').Select(o => $"-{o.Short}\n"));
}
