using NbdFuse.Boot;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.UnitTests.Boot;

public sealed class HookTests : IDisposable
{
    private const string Program = "/usr/local/bin/nbdfuse";
    private readonly TempDirectory _directory = new();

    public static TheoryData<string> Scripts =>
    [
        "wanted.sh", "attach.sh", "initramfs-tools-hook.sh", "initramfs-tools-local-top.sh", "dracut-module-setup.sh", "dracut-parse.sh",
        "dracut-attach.sh", "dracut-generator.sh",
    ];

    public void Dispose() => _directory.Dispose();

    [Theory]
    [InlineData(HookFramework.InitramfsTools, 2)]
    [InlineData(HookFramework.Dracut, 5)]
    public void Hooks_name_the_program_and_go_without_a_trace(HookFramework framework, int count)
    {
        IReadOnlyList<string> written = HookInstaller.Install(_directory.Path, framework, Program);

        Assert.Equal(count, written.Count);
        Assert.Contains(written, file => File.ReadAllText(file).Contains($"'{Program}' hook-tree", StringComparison.Ordinal));
        Assert.All(written, file => Assert.DoesNotContain("@PROGRAM@", File.ReadAllText(file), StringComparison.Ordinal));
        Assert.All(
            written.Where(file => !file.EndsWith(".conf", StringComparison.Ordinal)),
            file => Tool.Run("test", "-x", file).EnsureSuccess());

        Assert.Equal(written, HookInstaller.Uninstall(_directory.Path, framework));
        Assert.Empty(Directory.EnumerateFiles(_directory.Path, "*", SearchOption.AllDirectories));
        Assert.Empty(HookInstaller.Uninstall(_directory.Path, framework));
    }

    [Fact]
    public void Frameworks_are_found_by_their_files()
    {
        Assert.Empty(HookInstaller.Find(_directory.Path));
        Directory.CreateDirectory(_directory["usr/lib/dracut/modules.d"]);
        Assert.Equal([HookFramework.Dracut], HookInstaller.Find(_directory.Path));
        Directory.CreateDirectory(_directory["usr/share/initramfs-tools"]);
        File.WriteAllText(_directory["usr/share/initramfs-tools/hook-functions"], string.Empty);
        Assert.Equal([HookFramework.InitramfsTools, HookFramework.Dracut], HookInstaller.Find(_directory.Path));
    }

    [Theory]
    [InlineData("nbdfuse")]
    [InlineData("/a'b")]
    [InlineData("/a\nb")]
    public void Path_that_would_break_a_script_is_refused(string program) =>
        Assert.Throws<BootException>(() => HookInstaller.Install(_directory.Path, HookFramework.InitramfsTools, program));

    [Theory]
    [MemberData(nameof(Scripts))]
    public void Script_is_understood_by_its_shell(string name)
    {
        string text = InitramfsBuilder.Script(name);
        string shell = text.StartsWith("#!/bin/bash", StringComparison.Ordinal) ? "bash" : "sh";
        File.WriteAllText(_directory["script"], text);
        Tool.Run(shell, "-n", _directory["script"]).EnsureSuccess();
        if (Tool.Run("sh", "-c", "command -v shellcheck").ExitCode == 0)
        {
            ToolResult result = Tool.Run("shellcheck", _directory["script"]);
            Assert.True(result.ExitCode == 0, result.Output);
        }
    }

    [Theory]
    [InlineData("quiet nbdfuse=nbd://h/x", true, true)]
    [InlineData("nbdroot=10.0.0.1/x root=/dev/nbd0", true, false)]
    [InlineData("nbdroot", true, false)]
    [InlineData("root=nbd:10.0.0.1:x", true, false)]
    [InlineData("netroot=nbd:10.0.0.1:x root=/dev/nbd0p1", true, false)]
    [InlineData("root=nbd://10.0.0.1/x", true, true)]
    [InlineData("nbd_host=10.0.0.1 nbd_name=x", true, true)]
    [InlineData("root=/dev/sda1 ro quiet", false, false)]
    [InlineData("root=/dev/sda1 -- nbdfuse=nbd://h/x", false, false)]
    [InlineData("root=/dev/sda1 *", false, false)]
    public void Other_hooks_keep_what_is_theirs(string commandLine, bool isWanted, bool isWantedBesideOthers)
    {
        File.WriteAllText(_directory["cmdline"], commandLine + "\n");
        File.WriteAllText(_directory["wanted.sh"], InitramfsBuilder.Script("wanted.sh"));

        Assert.Equal(isWanted ? 0 : 1, Run(_directory["none"]));
        Assert.Equal(isWantedBesideOthers ? 0 : 1, Run(_directory["cmdline"]));

        int Run(string other) => Tool.Run("sh", _directory["wanted.sh"], _directory["cmdline"], other, other).ExitCode;
    }

    [Theory]
    [InlineData("nbdfuse=nbd://h/x rw rootflags=noatime rootfstype=ext4", "Type=ext4\nOptions=rw,noatime\n")]
    [InlineData("nbdfuse=nbd://h/x", "Options=ro\n")]
    public void Unit_for_the_root_follows_the_command_line(string commandLine, string end)
    {
        File.WriteAllText(_directory["cmdline"], commandLine + "\n");
        string script = InitramfsBuilder.Script("dracut-generator.sh")
            .Replace("/etc/nbdfuse/wanted.sh", "true", StringComparison.Ordinal)
            .Replace("/proc/cmdline", _directory["cmdline"], StringComparison.Ordinal);
        File.WriteAllText(_directory["generator.sh"], script);

        Tool.Run("sh", _directory["generator.sh"], _directory["normal"], _directory["early"], _directory["late"]).EnsureSuccess();

        string unit = File.ReadAllText(_directory["early/sysroot.mount"]);
        Assert.Contains("Where=/sysroot\nWhat=/dev/nbdfuse-root\n", unit, StringComparison.Ordinal);
        Assert.EndsWith(end, unit, StringComparison.Ordinal);
    }
}
