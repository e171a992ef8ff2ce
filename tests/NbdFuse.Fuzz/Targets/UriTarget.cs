using System.Text;
using NbdFuse.Client;
using NbdFuse.Protocol;

namespace NbdFuse.Fuzz.Targets;

/// <summary>NBD URIs: parsed or refused; a parsed one says the same after it was written and parsed again.</summary>
internal sealed class UriTarget : IFuzzTarget
{
    public string Name => "uri";

    public IEnumerable<byte[]> Seeds => new[]
    {
        "nbd://localhost", "nbd://[::1]:10810/export%20name", "nbds://user@example.org:1/%2F?tls-certificates=/etc/pki&tls-verify-peer=false",
        "nbd+unix:///a/b?socket=/tmp/s%00k", "nbds+unix:///?socket=x&tls-psk-file=keys.psk&tls-type=psk&tls-username=alice",
        "nbd+vsock://2:10809/", "nbds+vsock://3/disk?tls-hostname=h", "NBD://1.2.3.4:65535/?unknown=1#fragment", "nbd:unix:/tmp/sock:exportname=e",
        "/some/file.img", "nbd+ssh://host/",
    }.Select(Encoding.UTF8.GetBytes);

    public void Run(byte[] input)
    {
        NbdUri uri;
        try
        {
            uri = NbdUri.Parse(Encoding.UTF8.GetString(input));
        }
        catch (NbdException)
        {
            return;
        }

        string once = uri.ToString();
        string twice = NbdUri.Parse(once).ToString();
        if (once != twice)
        {
            throw new FuzzFailureException($"{once} became {twice}");
        }

        try
        {
            _ = NbdTarget.FromUri(uri).ToString();
        }
        catch (NbdException)
        {
            // A URI that names nothing that can be connected to.
        }
    }

    public void Dispose()
    {
    }
}
