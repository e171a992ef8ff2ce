using Microsoft.Extensions.Logging;
using NbdFuse.Client;
using NbdFuse.Fuse;
using NbdFuse.Native;

namespace NbdFuse.Cli;

/// <summary>What this process gives up once it is set up. SECURITY.md has the table: what each driver keeps, and why.</summary>
internal static partial class Privileges
{
    /// <summary>
    /// Of every process that serves something for root. Unmounting needs CAP_SYS_ADMIN, and the way to the mountpoint may lead through
    /// directories of others.
    /// </summary>
    public const Capabilities Mount = Capabilities.SysAdmin | Capabilities.DacReadSearch;

    /// <summary>
    /// Of a process behind a block device: its helpers and control commands need CAP_SYS_ADMIN, locked memory that is mapped later
    /// CAP_IPC_LOCK, telling who uses a device CAP_SYS_PTRACE, and reaching a ublk device whose node somebody has removed CAP_MKNOD.
    /// </summary>
    public const Capabilities Device = Mount | Capabilities.IpcLock | Capabilities.SysPtrace | Capabilities.Mknod;

    /// <summary>Forbids others to look into this process, and dumps of its memory, when connections have keys. Before they are read.</summary>
    /// <param name="tls">How connections are encrypted.</param>
    public static void HideKeys(NbdTlsOptions tls)
    {
        if (tls.Mode != NbdTlsMode.Off)
        {
            Posix.Prctl(Posix.PrSetDumpable, 0);
        }
    }

    /// <summary>Gives up what a mount does not need, once it is made.</summary>
    /// <param name="mount">The mount.</param>
    /// <param name="arguments">What the user asked for.</param>
    /// <param name="logger">Hears of a failure.</param>
    public static void Drop(FuseMount mount, NbdfuseArguments arguments, ILogger logger)
    {
        // fusermount3 gets its rights by its setuid bit; whoever needed it has little to give up.
        if (!mount.IsByHelper)
        {
            // Files that are written later may lie in directories of others.
            bool writesFiles = arguments.PidFile is not null || arguments.RecordFile is not null;
            Drop(writesFiles ? Mount | Capabilities.DacOverride : Mount, arguments.Target!, logger);
        }
    }

    /// <summary>Gives capabilities up; does nothing for users without any.</summary>
    /// <param name="keep">What is needed on the way to the end.</param>
    /// <param name="target">The server: reconnecting to it may need more.</param>
    /// <param name="logger">Hears of a failure.</param>
    public static void Drop(Capabilities keep, NbdTarget target, ILogger logger)
    {
        if (ProcessPrivileges.Effective == Capabilities.None)
        {
            return;
        }

        // The socket of a server that runs as another user may be closed to everybody else.
        Capabilities all = target is UnixTarget ? keep | Capabilities.DacOverride : keep;

        // A program of the user is started with what the user has.
        bool startsPrograms = target is CommandTarget or SocketActivationTarget;
        if (ProcessPrivileges.Drop(all, allowSetuid: startsPrograms) is { } reason)
        {
            LogKept(logger, reason);
        }
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "capabilities that are not needed any more could not be given up: {Reason}")]
    private static partial void LogKept(ILogger logger, string reason);
}
