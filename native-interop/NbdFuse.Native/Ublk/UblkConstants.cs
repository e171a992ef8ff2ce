namespace NbdFuse.Native.Ublk;

/// <summary>
/// Operations of ublk (linux/ublk_cmd.h), encoded as ioctl numbers. The lowest byte is the operation of kernels before 6.4,
/// which later ones still take when CONFIG_BLKDEV_UBLK_LEGACY_OPCODES is set: see <see cref="Legacy"/>.
/// </summary>
public static class UblkConstants
{
    /// <summary>Which CPUs a queue serves.</summary>
    public const uint GetQueueAffinity = 0x80207501;

    /// <summary>Reads <see cref="UblkDeviceInfo"/>.</summary>
    public const uint GetDeviceInfo = 0x80207502;

    /// <summary>Makes a device from a <see cref="UblkDeviceInfo"/>, which comes back as granted.</summary>
    public const uint AddDevice = 0xc0207504;

    /// <summary>Takes a device away; waits until its character device, and the disk, are closed by everybody.</summary>
    public const uint DeleteDevice = 0xc0207505;

    /// <summary>Takes a device away and does not wait (6.9).</summary>
    public const uint DeleteDeviceAsync = 0x80207514;

    /// <summary>Makes the disk; waits until every tag has been fetched. Data: our process.</summary>
    public const uint StartDevice = 0xc0207506;

    /// <summary>Ends the disk; waits until what is in flight has been answered.</summary>
    public const uint StopDevice = 0xc0207507;

    /// <summary>Sets <see cref="UblkParams"/>; before the start only.</summary>
    public const uint SetParams = 0xc0207508;

    /// <summary>Reads <see cref="UblkParams"/>.</summary>
    public const uint GetParams = 0x80207509;

    /// <summary>Makes a device whose server is gone ready for a new one.</summary>
    public const uint StartUserRecovery = 0xc0207510;

    /// <summary>Lets requests flow to the new server; waits until every tag has been fetched. Data: our process.</summary>
    public const uint EndUserRecovery = 0xc0207511;

    /// <summary>Reads eight bytes of <see cref="UblkFeatures"/> (6.5).</summary>
    public const uint GetFeatures = 0x80207513;

    /// <summary>Changes the size of a disk that lives (6.16). Data: sectors.</summary>
    public const uint UpdateSize = 0xc0207515;

    /// <summary>Takes the first request of a tag.</summary>
    public const uint FetchRequest = 0xc0107520;

    /// <summary>Answers a request and takes the next one of its tag.</summary>
    public const uint CommitAndFetchRequest = 0xc0107521;

    /// <summary>Most requests per queue.</summary>
    public const int MaximumDepth = 4096;

    /// <summary>Result of a fetch that no request will end any more: the device stops (-ENODEV).</summary>
    public const int Abort = -Errno.ENODEV;

    /// <summary>Result of a fetch when a buffer has to be given first.</summary>
    public const int NeedGetData = 1;

    /// <summary>Bytes of a sector, whatever the logical block is.</summary>
    public const int SectorBytes = 512;

    /// <summary>The number that an operation has on kernels before 6.4.</summary>
    /// <param name="operation">An encoded operation.</param>
    public static uint Legacy(uint operation) => operation & 0xff;
}
