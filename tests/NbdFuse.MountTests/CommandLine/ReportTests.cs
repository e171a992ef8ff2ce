using System.Text.Json;
using NbdFuse.Native;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>The verbs info, list and serve, beside nbdinfo.</summary>
public sealed class ReportTests
{
    [Theory]
    [InlineData(RealServerKind.Nbdkit)]
    [InlineData(RealServerKind.QemuStorageDaemon)]
    [InlineData(RealServerKind.QemuNbd)]
    [InlineData(RealServerKind.Embedded)]
    public async Task Info_agrees_with_nbdinfo_on_every_key_that_both_have(RealServerKind kind)
    {
        await using RealServer server = await RealServers.StartAsync(kind, new RealServerOptions { Size = 3 << 20 });
        using JsonDocument ours = JsonDocument.Parse((await NbdfuseProgram.RunAsync("info", "--json", server.Uri)).EnsureSuccess().Output);
        using JsonDocument theirs = JsonDocument.Parse(
            (await Tool.RunAsync(Requires.Command("nbdinfo"), "--json", "--no-content", server.Uri)).EnsureSuccess().Output);

        int shared = AssertAgree(ours.RootElement, theirs.RootElement, "$");
        shared += AssertAgree(
            Assert.Single(ours.RootElement.GetProperty("exports").EnumerateArray()),
            Assert.Single(theirs.RootElement.GetProperty("exports").EnumerateArray()),
            "$.exports[0]");
        Assert.True(shared >= 12, $"only {shared} keys are shared");
    }

    [Fact]
    public async Task Info_answers_questions_by_its_exit_code_as_nbdinfo_does()
    {
        await using RealServer server = await RealServers.Nbdkit("-r", "memory", "1M");
        string nbdinfo = Requires.Command("nbdinfo");
        foreach ((string question, string word) in new[] { ("--is", "read-only"), ("--is", "tls"), ("--can", "write"), ("--can", "read") })
        {
            ToolResult ours = await NbdfuseProgram.RunAsync("info", question, word, server.Uri);
            ToolResult theirs = await Tool.RunAsync(nbdinfo, question, word, server.Uri);
            Assert.True(ours.ExitCode == theirs.ExitCode, $"{ours}\n{theirs}");
            Assert.Empty(ours.Output);
        }

        Assert.Equal("1048576\n", (await NbdfuseProgram.RunAsync("info", "--size", server.Uri)).EnsureSuccess().Output);
    }

    [Fact]
    public async Task List_shows_every_export_of_a_server()
    {
        using var directory = new TempDirectory();
        directory.CreateFile("one", 1 << 20);
        directory.CreateFile("two & three", 2 << 20);
        await using RealServer server = await RealServers.Nbdkit("file", $"dir={directory}");
        using JsonDocument list = JsonDocument.Parse((await NbdfuseProgram.RunAsync("list", "--json", server.Uri)).EnsureSuccess().Output);
        Dictionary<string, long> sizes = list.RootElement.GetProperty("exports").EnumerateArray()
            .ToDictionary(export => export.GetProperty("export-name").GetString()!, export => export.GetProperty("export-size").GetInt64());
        Assert.Equal(2, sizes.Count);
        Assert.Equal((1 << 20, 2 << 20), (sizes["one"], sizes["two & three"]));

        // The URI of each opens it.
        foreach (JsonElement export in list.RootElement.GetProperty("exports").EnumerateArray())
        {
            string size = (await NbdfuseProgram.RunAsync("info", "--size", export.GetProperty("uri").GetString()!)).EnsureSuccess().Output;
            Assert.Equal($"{export.GetProperty("export-size").GetInt64()}\n", size);
        }

        string text = (await NbdfuseProgram.RunAsync("list", server.Uri)).EnsureSuccess().Output;
        Assert.Contains("export=\"two & three\":", text);
    }

    [Fact]
    public async Task Info_of_a_server_that_is_gone_is_an_error_in_one_line()
    {
        using var directory = new TempDirectory();
        string uri = NbdUris.For(new System.Net.Sockets.UnixDomainSocketEndPoint(directory["none"]), string.Empty);
        OneLine.AssertError(await NbdfuseProgram.RunAsync("info", uri), directory["none"]);
        OneLine.AssertError(await NbdfuseProgram.RunAsync("list", "--json", uri), directory["none"]);
    }

    [Fact]
    public async Task Served_file_holds_what_was_synced_even_when_the_server_is_killed()
    {
        using var directory = new TempDirectory();
        string disk = directory.CreateFile("disk", 1 << 20);
        byte[] data = PatternData.Create(1, 65536, 65536);
        await using (ServeProcess server = await ServeProcess.StartAsync("--unix", directory["s"], disk))
        {
            await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
            using (MountedFile file = mount.Open())
            {
                file.Write(65536, data);
                Assert.Equal(0, file.Fsync());
                server.Kill();
            }
        }

        byte[] content = await File.ReadAllBytesAsync(disk);
        Assert.Equal(1 << 20, content.Length);
        PatternData.AssertEqual(data, content.AsSpan(65536, 65536), 65536);
    }

    [Fact]
    public async Task Served_memory_keeps_what_one_mount_wrote_for_the_next_and_ends_with_exit_code_0()
    {
        using var directory = new TempDirectory();
        await using ServeProcess server = await ServeProcess.StartAsync("--port", "0", "--name", "a b", "--memory", "1M");
        Assert.Matches(@"\Anbd://localhost:\d+/a%20b\z", server.Uri);
        byte[] data = PatternData.Create(2, 0, 1 << 20);
        await using (MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri))
        {
            using (MountedFile file = mount.Open())
            {
                file.Write(0, data);
            }

            await mount.UnmountCleanlyAsync();
        }

        await using (MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri, "-r"))
        {
            FileContent.AssertEqual(data, mount.FilePath);
            await mount.UnmountCleanlyAsync();
        }

        Assert.Equal(0, await server.StopAsync());
    }

    [Fact]
    public async Task Server_read_only_refuses_writable_opens_at_the_mount()
    {
        using var directory = new TempDirectory();
        string disk = directory.CreateFile("disk", PatternData.Create(3, 0, 65536));
        await using ServeProcess server = await ServeProcess.StartAsync("--unix", directory["s"], "--read-only", disk);
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        Assert.Equal(-Errno.EROFS, Posix.Open(mount.FilePath, OpenFlags.ReadWrite));
        FileContent.AssertEqual(PatternData.Create(3, 0, 65536), mount.FilePath);
    }

    private static int AssertAgree(JsonElement ours, JsonElement theirs, string path)
    {
        int shared = 0;
        foreach (JsonProperty property in ours.EnumerateObject())
        {
            if (property.Value.ValueKind != JsonValueKind.Array && theirs.TryGetProperty(property.Name, out JsonElement other))
            {
                shared++;
                Assert.True(property.Value.ToString() == other.ToString(), $"{path}.{property.Name}: {property.Value} and {other}");
            }
        }

        return shared;
    }
}
