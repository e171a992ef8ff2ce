using NbdFuse.Native;

namespace NbdFuse.Ublk;

/// <summary>The kernel's refusals in words: cause and remedy.</summary>
internal static class UblkErrors
{
    private const string IoUringSetting = "/proc/sys/kernel/io_uring_disabled";

    /// <summary>The control node cannot be opened.</summary>
    /// <param name="path">The node.</param>
    /// <param name="error">Positive errno.</param>
    internal static UblkException Control(string path, int error) => error switch
    {
        Errno.ENOENT or Errno.ENODEV or Errno.ENXIO => new UblkException(
            $"{path}: the kernel's ublk driver is not loaded; load it with 'modprobe ublk_drv'; if modprobe knows no such module, "
            + "this kernel has none (it takes Linux 6.0 or later with CONFIG_BLK_DEV_UBLK): use --driver fuse",
            error),
        Errno.EPERM or Errno.EACCES => new UblkException(
            $"{path}: {Errno.Describe(error)}; ublk devices need root: run as root, or use nbdfuse without attach", error),
        _ => new UblkException($"{path}: {Errno.Describe(error)}; use --driver fuse", error),
    };

    /// <summary>There is no io_uring.</summary>
    /// <param name="error">Positive errno.</param>
    internal static UblkException IoUring(int error) => IoUring(error, ReadSetting());

    /// <summary>There is no io_uring.</summary>
    /// <param name="error">Positive errno.</param>
    /// <param name="setting">Content of the sysctl, null when there is none.</param>
    internal static UblkException IoUring(int error, string? setting) => error switch
    {
        Errno.EPERM when setting is not (null or "0") => new UblkException(
            $"io_uring is disabled on this machine (kernel.io_uring_disabled = {setting}), and ublk needs it; "
            + "enable it with 'sysctl kernel.io_uring_disabled=0', or use --driver fuse",
            error),
        Errno.EPERM or Errno.EACCES => new UblkException(
            "io_uring is forbidden to this process, and ublk needs it: most likely by the seccomp filter of a container; "
            + "allow io_uring_setup, io_uring_enter and io_uring_register there, or use --driver fuse",
            error),
        Errno.ENOSYS => new UblkException(
            "this kernel has no io_uring, or a seccomp filter hides it, and ublk needs it; use --driver fuse", error),
        Errno.EINVAL => new UblkException(
            "the io_uring of this kernel is too old for ublk, which needs Linux 6.0 or later; use --driver fuse", error),
        Errno.ENOMEM => new UblkException("there is no memory for io_uring; raise the limit of locked memory (ulimit -l)", error),
        _ => new UblkException($"io_uring: {Errno.Describe(error)}; use --driver fuse", error),
    };

    /// <summary>A control command was refused.</summary>
    /// <param name="what">What was attempted, such as "add a ublk device".</param>
    /// <param name="id">Number of the device; -1 when there is none yet.</param>
    /// <param name="error">Errno, negated or not.</param>
    internal static UblkException Command(string what, int id, int error)
    {
        int number = Math.Abs(error);
        string subject = id < 0 ? what : $"/dev/ublkb{id}: {what}";
        return number switch
        {
            Errno.EPERM or Errno.EACCES => new UblkException(
                $"{subject}: {Errno.Describe(number)}; ublk devices need root with CAP_SYS_ADMIN (a container has it with --privileged)", number),
            Errno.EEXIST => new UblkException($"{subject}: the device exists already; choose another number, or detach it first", number),
            Errno.ENODEV => new UblkException($"{subject}: there is no such ublk device", number),
            Errno.EOPNOTSUPP => new UblkException($"{subject}: this kernel's ublk driver can't do it; use --driver fuse", number),
            Errno.ENOMEM => new UblkException($"{subject}: the kernel has no memory for it", number),
            _ => new UblkException($"{subject}: {Errno.Describe(number)}", number),
        };
    }

    private static string? ReadSetting()
    {
        try
        {
            return File.ReadAllText(IoUringSetting).Trim();
        }
        catch (IOException)
        {
            // Kernels before 6.6 have no such setting.
            return null;
        }
    }
}
