using System.Text;
using NbdFuse.Fuse;

namespace NbdFuse.Fuzz.Targets;

/// <summary>/proc/self/mountinfo, in which every user's mounts stand with names of their choice.</summary>
internal sealed class MountTableTarget : IFuzzTarget
{
    public string Name => "mount-table";

    public IEnumerable<byte[]> Seeds => new[]
    {
        "22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw\n30 22 0:25 / /mnt/a\\040b rw,nosuid shared:7 master:1 - fuse.nbdfuse nbd\\011x rw,user_id=0\n",
        "36 35 98:0 /mnt1 /mnt2 rw,noatime - ext3 /dev/root rw,errors=continue", "1 1 0:1 / /x\\134 rw - fuse",
    }.Select(Encoding.UTF8.GetBytes);

    public void Run(byte[] input)
    {
        List<MountEntry> entries = MountTable.Parse(Encoding.UTF8.GetString(input).Split('\n'));
        foreach (MountEntry entry in entries)
        {
            _ = entry.IsFuse;
            if (MountTable.At(entries, entry.MountPoint) is null)
            {
                throw new FuzzFailureException($"{entry} is not found");
            }
        }

        _ = MountTable.Covering(entries, "/mnt/a b/c");
    }

    public void Dispose()
    {
    }
}
