using System.Text;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>The command over TLS: files, reports, and what must not be seen of secrets.</summary>
public sealed class TlsMountTests(TestPki pki) : IClassFixture<TestPki>
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Fio_verifies_every_block_that_it_wrote_through_tls(bool isPsk)
    {
        string fio = Requires.Command("fio");
        await using RealServer server = await StartAsync(isPsk);
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(new MountStart { Options = Options(isPsk), Mode = [server.Uri] });
        (await Tool.RunAsync(
            fio, "--name=verify", $"--filename={mount.FilePath}", "--size=16M", "--rw=randrw", "--bs=4k-256k", "--ioengine=libaio",
            "--direct=1", "--iodepth=32", "--serialize_overlap=1", "--verify=crc32c", "--verify_backlog=64", "--runtime=4", "--time_based",
            "--verify_fatal=1", "--randrepeat=1", "--output-format=terse")).EnsureSuccess();
        await mount.UnmountCleanlyAsync();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Process_that_is_killed_is_followed_by_another_one_through_tls(bool isPsk)
    {
        string fio = Requires.Command("fio");
        await using RealServer server = await StartAsync(isPsk);
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(
            new MountStart { Options = ["--keeper", .. Options(isPsk)], Mode = [server.Uri] });
        await using (var load = new BackgroundTool(
            fio, "--name=verify", $"--filename={mount.FilePath}", "--size=16M", "--rw=randrw", "--bs=4k-64k", "--ioengine=libaio",
            "--direct=1", "--iodepth=32", "--serialize_overlap=1", "--verify=crc32c", "--verify_backlog=64", "--runtime=600", "--time_based",
            "--verify_fatal=1", "--randrepeat=0", "--output-format=terse"))
        {
            for (int i = 0; i < 3; i++)
            {
                // A moment of the load; which one does not matter.
                await Task.Delay(150);
                Assert.False(load.HasExited, $"fio ended:\n{load.Output}{load.Error}");
                await KeptWorker.KillAsync(mount);
            }

            await KeeperLoadTests.EndWithoutErrorAsync(load, mount);
        }

        // The old connections came to their end, and were not given up.
        Assert.DoesNotContain("has not closed", mount.Error, StringComparison.Ordinal);
        await mount.UnmountCleanlyAsync();
    }

    [Fact]
    public async Task User_without_privileges_mounts_with_the_certificates_of_the_home_directory()
    {
        Requires.Root();
        Requires.Fuse();
        Requires.Command("fusermount3");
        using var home = new TempDirectory();
        Directory.CreateDirectory(home[".pki"]);
        (await Tool.RunAsync("cp", "-r", pki.Trusting, home[".pki/libnbd"])).EnsureSuccess();
        (await Tool.RunAsync("chown", "-R", $"{MountedNbdfuse.UnprivilegedId}", home.Path)).EnsureSuccess();
        await using RealServer server = await RealServers.Nbdkit(
            ServerTransport.Tcp, "--tls=require", $"--tls-certificates={pki.Server}", "memory", "1M");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(new MountStart
        {
            Prefix = ["env", $"HOME={home.Path}"],
            Options = ["--tls=require"],
            Mode = [server.Uri],
            Unprivileged = true,
        });
        Assert.Equal(1, await mount.EndBySignalAsync("TERM"));
        Assert.False(MountedNbdfuse.IsMounted(mount.MountPoint));
    }

    [Fact]
    public async Task Info_and_list_tell_of_tls_and_agree_with_the_question()
    {
        await using RealServer server = await StartAsync(isPsk: true);
        string[] options = [.. Options(isPsk: true), server.Uri];
        ToolResult info = (await NbdfuseProgram.RunAsync(["info", .. options])).EnsureSuccess();
        Assert.Contains("with TLS", info.Output, StringComparison.Ordinal);
        Assert.Contains("with TLS", (await NbdfuseProgram.RunAsync(["list", .. options])).EnsureSuccess().Output, StringComparison.Ordinal);
        Assert.Equal(0, (await NbdfuseProgram.RunAsync(["info", "--is", "tls", .. options])).ExitCode);
    }

    [Fact]
    public async Task Key_is_seen_in_no_log_and_no_argument_and_loose_permissions_are_told()
    {
        using var directory = new TempDirectory();
        string key = directory.CreateFile("loose.psk", File.ReadAllBytes(pki.SinglePskFile));
        File.SetUnixFileMode(key, (UnixFileMode)0b110_100_100);
        await using RealServer server = await StartAsync(isPsk: true);
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(new MountStart
        {
            Options = ["-v", "--tls=require", $"--tls-psk={key}"],
            Mode = [server.Uri],
        });
        string arguments = Encoding.UTF8.GetString(await File.ReadAllBytesAsync($"/proc/{mount.Id}/cmdline"));
        await mount.UnmountCleanlyAsync();
        Assert.Contains("loose.psk", arguments, StringComparison.Ordinal);
        Assert.Contains("chmod 600", mount.Error, StringComparison.Ordinal);
        foreach (string text in new[] { arguments, mount.Error })
        {
            Assert.DoesNotContain("0123456789abcdef", text, StringComparison.OrdinalIgnoreCase);
        }
    }

    [Fact]
    public async Task Wrong_authority_is_one_line_and_nothing_is_mounted()
    {
        await using RealServer server = await StartAsync(isPsk: false);
        await using MountedNbdfuse mount = MountedNbdfuse.Launch(
            new MountStart { Options = ["--tls=require", "--tls-hostname=localhost", $"--tls-certificates={pki.Stranger}"], Mode = [server.Uri] });
        Assert.Equal(1, await mount.WaitForExitAsync());
        OneLine.AssertError(mount.Error, "ca-cert.pem");
        Assert.False(MountedNbdfuse.IsMounted(mount.MountPoint));
    }

    private Task<RealServer> StartAsync(bool isPsk) => RealServers.NbdkitFile(new RealServerOptions
    {
        Size = 16 << 20,
        Extra = ["--tls=require", isPsk ? $"--tls-psk={pki.PskFile}" : $"--tls-certificates={pki.Server}"],
    });

    // Whoever runs the tests is not alice: the file has no other.
    private string[] Options(bool isPsk) => isPsk
        ? ["--tls=require", $"--tls-psk={pki.SinglePskFile}"]
        : ["--tls=require", $"--tls-certificates={pki.Trusting}", "--tls-hostname=localhost"];
}
