using System.Globalization;
using NbdFuse.Native;

namespace NbdFuse.Attach.KernelNbd;

/// <summary>What the kernel shows of a device of its nbd driver: names and sysfs, none of which waits for the server.</summary>
public static class KernelNbdDevice
{
    private const string Prefix = "/dev/nbd";
    private const int SectorBytes = 512;

    // How long udev or devtmpfs may take; the size is there when the kernel has answered.
    private const int UsableTimeoutMs = 10_000;

    // Fields of /sys/block/*/stat (Documentation/block/stat.rst): requests, merges, sectors, ticks of a kind.
    private const int ReadField = 0;
    private const int WriteField = 4;
    private const int InFlightField = 8;
    private const int DiscardField = 11;
    private const int FlushField = 15;

    /// <summary>Whether the driver is loaded.</summary>
    public static bool DriverExists => Directory.Exists("/sys/module/nbd") || Directory.Exists("/sys/block/nbd0");

    /// <summary>Path of the device of a number.</summary>
    /// <param name="index">0 or more.</param>
    public static string PathOf(int index) => string.Create(CultureInfo.InvariantCulture, $"{Prefix}{index}");

    /// <summary>Reads the number out of a path.</summary>
    /// <param name="path">Such as /dev/nbd3.</param>
    /// <param name="index">The number.</param>
    /// <returns>False when this is not the path of a whole device of the driver.</returns>
    public static bool TryNumber(string path, out int index)
    {
        index = 0;
        return path.StartsWith(Prefix, StringComparison.Ordinal)
            && int.TryParse(path.AsSpan(Prefix.Length), NumberStyles.None, CultureInfo.InvariantCulture, out index);
    }

    /// <summary>Whether the kernel has a device of that number, in use or not.</summary>
    /// <param name="index">Its number.</param>
    public static bool Exists(int index) => Directory.Exists(DirectoryOf(index));

    /// <summary>Size in bytes; 0 when the device is not in use.</summary>
    /// <param name="index">Its number.</param>
    public static long Size(int index) =>
        long.TryParse(Read(index, "size"), NumberStyles.None, CultureInfo.InvariantCulture, out long sectors) ? sectors * SectorBytes : 0;

    /// <summary>Name that the device was made with; null when it has none, or the kernel is older than 5.14.</summary>
    /// <param name="index">Its number.</param>
    public static string? Identifier(int index) => Read(index, "backend");

    /// <summary>Thread that made the device; 0 when it is not in use.</summary>
    /// <param name="index">Its number.</param>
    public static int Owner(int index) =>
        int.TryParse(Read(index, "pid"), NumberStyles.None, CultureInfo.InvariantCulture, out int pid) ? pid : 0;

    /// <summary>Whether a device was made by a thread of a process.</summary>
    /// <param name="index">Its number.</param>
    /// <param name="process">Number of the process.</param>
    /// <returns>False also when the process, or the thread, is of another PID namespace: the kernel shows its own numbers.</returns>
    public static bool IsMadeBy(int index, int process) =>
        Owner(index) is var owner and not 0
        && Directory.Exists(string.Create(CultureInfo.InvariantCulture, $"/proc/{process}/task/{owner}"));

    /// <summary>Whether nobody uses a device of that number, or there is none.</summary>
    /// <param name="index">Its number.</param>
    public static bool IsFree(int index) => Owner(index) == 0 && Size(index) == 0 && Identifier(index) is null;

    /// <summary>Whether a device is, by the kernel's word, the one that was made with a name or by a thread.</summary>
    /// <param name="index">Its number.</param>
    /// <param name="identifier">The name.</param>
    /// <param name="owner">The thread, for kernels and interfaces that keep no name; 0 when it is not known.</param>
    public static bool IsOurs(int index, string identifier, int owner) =>
        Identifier(index) is { } name ? name == identifier : owner != 0 && Owner(index) == owner;

    /// <summary>Finds the device that was made with a name.</summary>
    /// <param name="identifier">The name.</param>
    /// <returns>Its number, or -1.</returns>
    public static int Find(string identifier)
    {
        if (!Directory.Exists("/sys/block"))
        {
            return -1;
        }

        foreach (string directory in Directory.EnumerateDirectories("/sys/block", "nbd*"))
        {
            if (TryNumber("/dev/" + Path.GetFileName(directory), out int index) && Identifier(index) == identifier)
            {
                return index;
            }
        }

        return -1;
    }

    /// <summary>Finds a device that is not in use, for the interface that cannot choose one by itself.</summary>
    /// <returns>Its number, or -1.</returns>
    public static int FindFree()
    {
        for (int index = 0; Exists(index); index++)
        {
            if (Owner(index) == 0 && Size(index) == 0)
            {
                return index;
            }
        }

        return -1;
    }

    /// <summary>
    /// Limits the length of requests, which has to be done before anybody uses the device: the server ends the connection at
    /// a longer one.
    /// </summary>
    /// <param name="index">Number of the device.</param>
    /// <param name="maximumKb">KiB; at least a page.</param>
    /// <exception cref="AttachException">The kernel's requests would be longer.</exception>
    public static void LimitRequests(int index, int maximumKb)
    {
        if (QueueNumber(index, "max_sectors_kb") <= maximumKb)
        {
            return;
        }

        int result = Write(index, "queue/max_sectors_kb", maximumKb);
        if (result < 0 || QueueNumber(index, "max_sectors_kb") is var limit && (limit <= 0 || limit > maximumKb))
        {
            throw new AttachException(string.Create(
                CultureInfo.InvariantCulture,
                $"{PathOf(index)}: the server takes at most {maximumKb} KiB in a request, and the kernel cannot be told so ({DirectoryOf(index)}/queue/max_sectors_kb: {Errno.Describe(result < 0 ? result : Errno.EINVAL)}); use --driver ublk or --driver fuse"));
        }
    }

    /// <summary>
    /// Sets how often the kernel looks at a request that has no answer. With one connection and no timeout it only looks whether
    /// the connection was replaced, and then sends the request again.
    /// </summary>
    /// <param name="index">Number of the device.</param>
    /// <param name="milliseconds">The time.</param>
    /// <returns>0 or a negative errno; older kernels cannot.</returns>
    public static int SetRequestTimer(int index, int milliseconds) => Write(index, "queue/io_timeout", milliseconds);

    /// <summary>Waits until the device has its size and its node, and makes the node where nobody else does.</summary>
    /// <param name="index">Number of the device.</param>
    /// <exception cref="AttachException">It does not become usable.</exception>
    public static void WaitUsable(int index)
    {
        long end = MonotonicClock.Milliseconds + UsableTimeoutMs;
        while (Size(index) == 0)
        {
            if (MonotonicClock.Milliseconds > end)
            {
                throw new AttachException($"{PathOf(index)}: the kernel shows no size for it; is /sys mounted?");
            }

            Thread.Sleep(5);
        }

        EnsureNode(index);
    }

    /// <summary>Makes the device's node where nobody else does.</summary>
    /// <param name="index">Number of the device.</param>
    /// <exception cref="AttachException">There is no such device, or its node cannot be made.</exception>
    public static void EnsureNode(int index)
    {
        string[] device = (Read(index, "dev") ?? string.Empty).Split(':');
        if (device.Length != 2
            || !uint.TryParse(device[0], NumberStyles.None, CultureInfo.InvariantCulture, out uint major)
            || !uint.TryParse(device[1], NumberStyles.None, CultureInfo.InvariantCulture, out uint minor))
        {
            throw new AttachException($"{PathOf(index)}: the kernel has no such device; 'modprobe nbd nbds_max=N' makes more");
        }

        DeviceNode.Ensure(PathOf(index), major, minor);
    }

    /// <summary>The kernel's own counters.</summary>
    /// <param name="index">Number of the device.</param>
    /// <param name="inFlight">Requests in flight.</param>
    /// <returns>Counters per kind of request; the driver does not tell errors.</returns>
    public static IReadOnlyList<OperationStatus> Statistics(int index, out int inFlight) => ParseStatistics(Read(index, "stat"), out inFlight);

    /// <summary>Reads /sys/block/*/stat.</summary>
    /// <param name="text">Its content.</param>
    /// <param name="inFlight">Requests in flight.</param>
    internal static IReadOnlyList<OperationStatus> ParseStatistics(string? text, out int inFlight)
    {
        string[] fields = (text ?? string.Empty).Split(' ', StringSplitOptions.RemoveEmptyEntries);
        inFlight = (int)Math.Clamp(Field(InFlightField), 0, int.MaxValue);
        List<OperationStatus> operations =
        [
            new OperationStatus("read", Field(ReadField), Field(ReadField + 2) * SectorBytes, 0),
            new OperationStatus("write", Field(WriteField), Field(WriteField + 2) * SectorBytes, 0),
        ];
        if (fields.Length > FlushField)
        {
            operations.Add(new OperationStatus("flush", Field(FlushField), 0, 0));
        }

        if (fields.Length > DiscardField + 2)
        {
            // The kernel counts write-zeroes as writes.
            operations.Add(new OperationStatus("trim", Field(DiscardField), Field(DiscardField + 2) * SectorBytes, 0));
        }

        return operations;

        long Field(int number) =>
            number < fields.Length && long.TryParse(fields[number], NumberStyles.None, CultureInfo.InvariantCulture, out long value) ? value : 0;
    }

    private static string DirectoryOf(int index) => string.Create(CultureInfo.InvariantCulture, $"/sys/block/nbd{index}");

    private static int QueueNumber(int index, string name) =>
        int.TryParse(Read(index, "queue/" + name), NumberStyles.None, CultureInfo.InvariantCulture, out int value) ? value : 0;

    private static string? Read(int index, string name)
    {
        try
        {
            return File.ReadAllText($"{DirectoryOf(index)}/{name}").Trim();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // The device may go at any moment, and older kernels have fewer files.
            return null;
        }
    }

    private static int Write(int index, string name, int value)
    {
        int fd = Posix.Open($"{DirectoryOf(index)}/{name}", OpenFlags.WriteOnly);
        if (fd < 0)
        {
            return fd;
        }

        using FileDescriptor file = FileDescriptor.Own(fd);
        int result = Posix.Write(fd, System.Text.Encoding.ASCII.GetBytes(value.ToString(CultureInfo.InvariantCulture)));
        return Math.Min(result, 0);
    }
}
