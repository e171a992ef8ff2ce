using System.Text;
using NbdFuse.Fuse;

namespace NbdFuse.Fuzz.Targets;

/// <summary>The words after -o.</summary>
internal sealed class MountOptionsTarget : IFuzzTarget
{
    public string Name => "mount-options";

    public IEnumerable<byte[]> Seeds => new[]
    {
        "allow_other,uid=1000,gid=1000,ro", "fsname=a\\,b,subtype=nbd,max_read=131072,default_permissions,nodev,nosuid", "umask=022,auto_unmount,kernel_cache,rw,,",
    }.Select(Encoding.UTF8.GetBytes);

    public void Run(byte[] input)
    {
        try
        {
            _ = FuseMountOptionParser.Parse([Encoding.UTF8.GetString(input)]);
        }
        catch (FuseException)
        {
            // Refused by name.
        }
    }

    public void Dispose()
    {
    }
}
