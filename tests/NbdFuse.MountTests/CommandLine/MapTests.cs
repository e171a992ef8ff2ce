using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>The verb map, and what info says about contexts and content, beside nbdinfo.</summary>
public sealed class MapTests
{
    private static readonly string[][] Forms = [[], ["--json"], ["--totals"], ["--totals", "--json"]];

    [Theory]
    [InlineData(RealServerKind.Nbdkit)]
    [InlineData(RealServerKind.QemuNbd)]
    [InlineData(RealServerKind.QemuStorageDaemon)]
    [InlineData(RealServerKind.Embedded)]
    public async Task Map_of_a_sparse_file_equals_that_of_nbdinfo(RealServerKind kind)
    {
        await using RealServer server = await RealServers.StartAsync(kind, new RealServerOptions { Size = 16 << 20 });
        using (FileStream file = File.Open(server.BackingFile!, FileMode.Open, FileAccess.Write, FileShare.ReadWrite))
        {
            file.Position = 1 << 20;
            file.Write(PatternData.Create(1, 0, 100_000));
            file.Position = 9 << 20;
            file.Write(PatternData.Create(2, 0, 1));
        }

        string text = await AssertEqualAsync(server.Uri, "base:allocation");
        Assert.Contains("hole,zero", text, StringComparison.Ordinal);
        Assert.Contains("data", text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Maps_of_the_contexts_of_qemu_equal_those_of_nbdinfo()
    {
        string img = Requires.Command("qemu-img");
        using var directory = new TempDirectory();
        string disk = directory.CreateFile("base.raw", PatternData.Create(1, 0, 4 << 20));
        string top = directory["top.qcow2"];
        (await Tool.RunAsync(img, "create", "-q", "-f", "qcow2", "-b", disk, "-F", "raw", top)).EnsureSuccess();
        (await Tool.RunAsync(img, "bitmap", "--add", top, "b 0")).EnsureSuccess();
        (await Tool.RunAsync(Requires.Command("qemu-io"), "-f", "qcow2", "-c", "write -P 1 1M 128k", "-c", "write -z 2M 64k", top)).EnsureSuccess();
        await using RealServer qemu = await RealServers.QemuNbd(
            new() { Content = await File.ReadAllBytesAsync(top), Extra = ["-f", "qcow2", "-A", "-B", "b 0"] });
        string uri = qemu.Uri;
        await AssertEqualAsync(uri, "base:allocation");
        Assert.Contains("local", await AssertEqualAsync(uri, "qemu:allocation-depth"), StringComparison.Ordinal);
        Assert.Contains("dirty", await AssertEqualAsync(uri, "qemu:dirty-bitmap:b 0"), StringComparison.Ordinal);
        ToolResult ours = (await NbdfuseProgram.RunAsync("info", uri)).EnsureSuccess();
        ToolResult theirs = (await Tool.RunAsync(Requires.Command("nbdinfo"), uri)).EnsureSuccess();
        Assert.Equal(theirs.Output, ours.Output);
    }

    [Theory]
    [InlineData(RealServerKind.Nbdkit)]
    [InlineData(RealServerKind.Embedded)]
    public async Task Info_has_every_key_of_nbdinfo_with_its_value(RealServerKind kind)
    {
        await using RealServer server = await RealServers.StartAsync(kind, new RealServerOptions { Size = 1 << 20 });
        string nbdinfo = Requires.Command("nbdinfo");
        string ours = (await NbdfuseProgram.RunAsync("info", "--json", server.Uri)).EnsureSuccess().Output;
        string theirs = (await Tool.RunAsync(nbdinfo, "--json", server.Uri)).EnsureSuccess().Output;
        Assert.Equal(Flat(theirs), Flat(ours));
        ours = (await NbdfuseProgram.RunAsync("info", "--json", "--no-content", server.Uri)).EnsureSuccess().Output;
        theirs = (await Tool.RunAsync(nbdinfo, "--json", "--no-content", server.Uri)).EnsureSuccess().Output;
        Assert.Equal(Flat(theirs), Flat(ours));
        Assert.DoesNotContain("content", ours, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Map_without_extents_and_of_a_missing_context_end_as_those_of_nbdinfo()
    {
        string nbdinfo = Requires.Command("nbdinfo");
        await using (RealServer empty = await RealServers.Nbdkit("null", "0"))
        {
            await AssertEqualAsync(empty.Uri, "base:allocation");
            OneLine.AssertError(await NbdfuseProgram.RunAsync("map", "--context", "x:y", empty.Uri), "x:y");
            Assert.Equal(1, (await Tool.RunAsync(nbdinfo, "--map=x:y", empty.Uri)).ExitCode);
        }

        await using RealServer old = await RealServers.StartAsync(RealServerKind.NbdServer, new RealServerOptions { Size = 1 << 20 });
        OneLine.AssertError(await NbdfuseProgram.RunAsync("map", old.Uri), "base:allocation");
        Assert.Equal(1, (await Tool.RunAsync(nbdinfo, "--map", old.Uri)).ExitCode);
    }

    [Fact]
    public async Task Every_question_has_the_exit_code_of_nbdinfo()
    {
        await using RealServer server = await RealServers.StartAsync(RealServerKind.QemuNbd, new RealServerOptions { Size = 1 << 20 });
        string nbdinfo = Requires.Command("nbdinfo");
        string[][] questions =
        [
            .. new[] { "cache", "connect", "df", "fast-zero", "flush", "fua", "multi-conn", "MULTI_CONN", "read", "structured-reply", "trim", "write", "zero" }
                .Select(word => new[] { "--can", word }),
            ["--is", "read-only"], ["--is", "rotational"], ["--is", "tls"], ["--can", "nonsense"],
        ];
        foreach (string[] question in questions)
        {
            ToolResult ours = await NbdfuseProgram.RunAsync(["info", .. question, server.Uri]);
            ToolResult theirs = await Tool.RunAsync(nbdinfo, [.. question, server.Uri]);
            Assert.True(ours.ExitCode == theirs.ExitCode, $"{ours}\n{theirs}");
        }
    }

    private static async Task<string> AssertEqualAsync(string uri, string context)
    {
        string nbdinfo = Requires.Command("nbdinfo");
        string first = string.Empty;
        foreach (string[] form in Forms)
        {
            string ours = (await NbdfuseProgram.RunAsync(["map", "--context", context, .. form, uri])).EnsureSuccess().Output;
            string theirs = (await Tool.RunAsync(nbdinfo, [$"--map={context}", .. form, uri])).EnsureSuccess().Output;
            Assert.Equal(theirs, ours);
            first = first.Length == 0 ? ours : first;
        }

        return first;
    }

    // One line for each value, in any order: the layout of JSON is nobody's business.
    private static string Flat(string json)
    {
        using var document = System.Text.Json.JsonDocument.Parse(json);
        List<string> lines = [];
        Add(document.RootElement, "$", lines);
        lines.Sort(StringComparer.Ordinal);
        return string.Join('\n', lines);
    }

    private static void Add(System.Text.Json.JsonElement element, string path, List<string> lines)
    {
        switch (element.ValueKind)
        {
            case System.Text.Json.JsonValueKind.Object:
                foreach (System.Text.Json.JsonProperty property in element.EnumerateObject())
                {
                    Add(property.Value, $"{path}.{property.Name}", lines);
                }

                break;
            case System.Text.Json.JsonValueKind.Array:
                int index = 0;
                foreach (System.Text.Json.JsonElement item in element.EnumerateArray())
                {
                    Add(item, $"{path}[{index++}]", lines);
                }

                break;
            default:
                lines.Add($"{path} = {element}");
                break;
        }
    }
}
