using NbdFuse.Native;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>Many requests at once, verified.</summary>
public sealed class LoadTests
{
    [Fact]
    public async Task Full_standard_error_that_nobody_reads_holds_nothing_up()
    {
        await using RealServer server = await RealServers.Nbdkit("memory", "1M");
        using var directory = new TempDirectory();
        string pipe = directory["stderr"];
        (await Tool.RunAsync("mkfifo", pipe)).EnsureSuccess();

        // Open at both ends, so that no write fails for want of a reader; full from the start.
        using var ends = new MountedFile(pipe, OpenFlags.ReadWrite | OpenFlags.NonBlocking);
        byte[] filler = new byte[4096];
        while (ends.TryAppend(filler) > 0)
        {
        }

        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(new MountStart
        {
            Prefix = ["/bin/sh", "-c", $"exec \"$0\" \"$@\" 2>{pipe}"],
            Options = ["-v"],
            Mode = [server.Uri],
        });
        byte[] data = PatternData.Create(8, 0, 1 << 16);
        using (MountedFile file = mount.Open(OpenFlags.ReadWrite | OpenFlags.Direct))
        {
            file.Write(0, data);
            PatternData.AssertEqual(data, file.Read(0, data.Length));
        }

        Assert.Equal(0, await mount.UnmountAsync());
    }

    [Theory]
    [InlineData(RealServerKind.Nbdkit)]
    [InlineData(RealServerKind.NbdServer)]
    [InlineData(RealServerKind.QemuNbd)]
    public async Task Fio_at_depth_32_verifies_every_block_that_it_wrote(RealServerKind kind)
    {
        string fio = Requires.Command("fio");
        await using RealServer server = await RealServers.StartAsync(kind, new RealServerOptions { Size = 16 << 20 });
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        ToolResult result = await Tool.RunAsync(
            fio, "--name=verify", $"--filename={mount.FilePath}", "--size=16M", "--rw=randrw", "--bs=4k-64k", "--ioengine=libaio",
            "--direct=1", "--iodepth=32", "--serialize_overlap=1", "--verify=crc32c", "--verify_backlog=64", "--runtime=4", "--time_based",
            "--verify_fatal=1", "--randrepeat=1", "--output-format=terse");
        result.EnsureSuccess();
        Assert.DoesNotContain("verify:", result.Error);
        await mount.UnmountCleanlyAsync();
    }

    [Theory]
    [InlineData(OpenFlags.ReadWrite)]
    [InlineData(OpenFlags.ReadWrite | OpenFlags.Direct)]
    public async Task Parallel_writers_and_readers_of_distinct_areas_see_only_their_own(OpenFlags flags)
    {
        const int Workers = 8;
        const int Area = 1 << 20;
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Size = Workers * Area });
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        await Task.WhenAll(Enumerable.Range(0, Workers).Select(worker => Task.Run(() =>
        {
            using MountedFile file = mount.Open(flags);
            var random = new Random(worker);
            long start = (long)worker * Area;
            byte[] model = new byte[Area];
            for (int round = 0; round < 60; round++)
            {
                int length = random.Next(1, 128 * 1024);
                int offset = random.Next(0, Area - length);
                if (round % 3 == 2)
                {
                    PatternData.AssertEqual(model.AsSpan(offset, length), file.Read(start + offset, length), start + offset);
                    continue;
                }

                byte[] data = PatternData.Create((ulong)((worker * 1000) + round), start + offset, length);
                file.Write(start + offset, data);
                data.CopyTo(model, offset);
            }

            PatternData.AssertEqual(model, file.Read(start, Area), start);
            Assert.Equal(0, file.Fsync());
            PatternData.AssertEqual(model, server.ReadBacking(start, Area), start, "behind the server");
        })));
        await mount.UnmountCleanlyAsync();
    }

    [Fact]
    public async Task Slow_server_has_many_requests_in_flight()
    {
        const int Requests = 64;
        await using RealServer server = await RealServers.Nbdkit(
            "--filter=delay", "memory", "4M", "delay-read=100ms", "delay-write=100ms");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        ToolResult result = await Tool.RunAsync(
            Requires.Command("fio"), "--name=slow", $"--filename={mount.FilePath}", "--size=4M", "--rw=randwrite", "--bs=4k",
            "--ioengine=libaio", "--direct=1", $"--iodepth={Requests}", $"--number_ios={4 * Requests}", "--verify=crc32c",
            "--do_verify=1", "--output-format=terse");
        result.EnsureSuccess();

        // No clock: one after the other this would take a minute, and the tool's deadline ends it.
        await mount.UnmountCleanlyAsync();
    }

    [Fact]
    public async Task All_connections_of_a_server_that_allows_several_are_used()
    {
        await using NbdkitLog server = await NbdkitLog.StartAsync("memory", "8M");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri, "-C", "4");
        (await Tool.RunAsync(
            Requires.Command("fio"), "--name=connections", $"--filename={mount.FilePath}", "--size=8M", "--rw=randrw", "--bsrange=4k-256k",
            "--ioengine=libaio", "--direct=1", "--iodepth=32", "--number_ios=400", "--output-format=terse")).EnsureSuccess();
        string[] used = [.. server.Requests("Write").Concat(server.Requests("Read")).Select(line => line.Split(' ')[2]).Distinct()];
        Assert.Equal(4, used.Length);
        await mount.UnmountCleanlyAsync();
    }

    [Theory]
    [InlineData("-C", "1", "--filter=log")]
    [InlineData("-C", "4", "--filter=multi-conn")]
    public async Task One_connection_only_is_used_when_the_user_or_the_server_says_so(string option, string value, string filter)
    {
        string[] args = filter == "--filter=log" ? ["memory", "1M"] : [filter, "memory", "1M", "multi-conn-mode=disable"];
        await using NbdkitLog server = await NbdkitLog.StartAsync(args);
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri, option, value);
        (await Tool.RunAsync("dd", "if=/dev/zero", $"of={mount.FilePath}", "bs=64k", "count=16", "status=none")).EnsureSuccess();
        await mount.UnmountCleanlyAsync();
        string[] used = [.. server.Requests("Write").Select(line => line.Split(' ')[2]).Distinct()];
        Assert.Single(used);
        Assert.Single(server.Lines, line => line.Contains(" Connect export="));
    }
}
