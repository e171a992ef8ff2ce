using System.Text;
using NbdFuse.Boot;
using NbdFuse.Protocol;

namespace NbdFuse.Fuzz.Targets;

/// <summary>The kernel's command line, what DHCP said, and /proc/net/pnp: understood, or refused with the accepted forms.</summary>
internal sealed class BootArgumentsTarget : IFuzzTarget
{
    public string Name => "boot-arguments";

    public IEnumerable<byte[]> Seeds => new[]
    {
        "nbdfuse=nbd://server:10809/root root=PARTUUID=0fc63daf-8483-4772-8e79-3d69d8477de4 ro quiet ip=dhcp nbdfuse.overlay=tmpfs",
        "nbdroot=1.2.3.4:10809/export root=/dev/nbd0p1 rootfstype=ext4 rootflags=noatime,\"a b\" rw rootwait nbdfuse.rescue=0",
        "nbdroot=[::1]:10810/e ip=192.168.0.2::192.168.0.1:255.255.255.0:host:eth0:off:8.8.8.8:1.1.1.1 BOOTIF=01-52-54-00-12-34-56",
        "root=nbd:10.0.2.2:disk:ext4:ro:persist=1,timeout=3 netroot=nbd:10.0.2.2:10809", "nbdroot=10.0.2.2,name,nbd0 nbdport=2000",
        "nbd_host=10.0.2.2 nbd_name=arch nbd_port=10809 root=LABEL=root init=/sbin/init -- x", "nbdroot=dhcp ip=:::::eth0:dhcp root=/dev/loop0p2",
        "#PROTO: DHCP\ndomain example.org\nnameserver 10.0.2.3\nbootserver 10.0.2.2\n",
        "interface=eth0\nip=10.0.2.15\nsubnet=255.255.255.0\nrouter=10.0.2.2\nrootpath=nbd://10.0.2.2/root\nsiaddr=10.0.2.2\n",
    }.Select(Encoding.UTF8.GetBytes);

    public void Run(byte[] input)
    {
        string text = Encoding.UTF8.GetString(input);
        Try(() => BootArguments.Parse(text));
        Try(() => ExportWishParser.ParseRootPath(text));
        Try(() => RootSelector.Parse(text));
        Try(() => NetworkFacts.FromKernel(text));
        Try(() => NetworkFacts.FromDhcp(text));
    }

    public void Dispose()
    {
    }

    private static void Try(Action parse)
    {
        try
        {
            parse();
        }
        catch (NbdException)
        {
            // Named on the console, and a rescue shell follows.
        }
    }
}
