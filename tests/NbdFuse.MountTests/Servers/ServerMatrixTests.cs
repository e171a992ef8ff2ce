using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>The same work over every server, each with both transports spread over the kinds of mount.</summary>
public sealed class ServerMatrixTests
{
    public static TheoryData<RealServerKind, ServerTransport, MountShape> Pairs => new()
    {
        { RealServerKind.Nbdkit, ServerTransport.Unix, MountShape.Directory },
        { RealServerKind.Nbdkit, ServerTransport.Tcp, MountShape.File },
        { RealServerKind.NbdServer, ServerTransport.Unix, MountShape.File },
        { RealServerKind.NbdServer, ServerTransport.Tcp, MountShape.NameInDirectory },
        { RealServerKind.QemuNbd, ServerTransport.Unix, MountShape.NameInDirectory },
        { RealServerKind.QemuNbd, ServerTransport.Tcp, MountShape.Directory },
        { RealServerKind.QemuStorageDaemon, ServerTransport.Unix, MountShape.Directory },
        { RealServerKind.QemuStorageDaemon, ServerTransport.Tcp, MountShape.File },
        { RealServerKind.Embedded, ServerTransport.Unix, MountShape.File },
        { RealServerKind.Embedded, ServerTransport.Tcp, MountShape.Directory },
    };

    [Theory]
    [MemberData(nameof(Pairs))]
    public async Task Export_is_read_written_and_read_again_after_a_remount(
        RealServerKind kind, ServerTransport transport, MountShape shape)
    {
        byte[] content = PatternData.Create(1, 0, 8 << 20);
        await using RealServer server = await RealServers.StartAsync(kind, new RealServerOptions { Content = content, Transport = transport });
        var start = new MountStart { Mode = [server.Uri], Shape = shape };
        await using (MountedNbdfuse mount = await MountedNbdfuse.StartAsync(start))
        {
            FileContent.AssertEqual(content, mount.FilePath);
            using (MountedFile file = mount.Open())
            {
                foreach ((int offset, int length) in new[] { (0, 1), (4095, 2), (65536, 65536), (1_000_001, 3_000_003), ((8 << 20) - 513, 513) })
                {
                    byte[] data = PatternData.Create((ulong)length, offset, length);
                    file.Write(offset, data);
                    data.CopyTo(content, offset);
                }

                Assert.Equal(0, file.Fsync());
            }

            FileContent.AssertEqual(content, mount.FilePath);
            PatternData.AssertEqual(content, server.ReadBacking(0, content.Length), context: "behind the server");
            await mount.UnmountCleanlyAsync();
        }

        await using (MountedNbdfuse mount = await MountedNbdfuse.StartAsync(start with { Options = ["-r"] }))
        {
            FileContent.AssertEqual(content, mount.FilePath);
            await mount.UnmountCleanlyAsync();
        }
    }
}
