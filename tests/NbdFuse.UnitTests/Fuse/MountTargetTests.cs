using NbdFuse.Fuse;
using Xunit;

namespace NbdFuse.UnitTests.Fuse;

public sealed class MountTargetTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("mount-target-").FullName;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    private string In(string name) => Path.Combine(_directory, name);

    [Fact]
    public void Regular_file_is_mounted_over()
    {
        File.WriteAllText(In("file"), string.Empty);
        MountTarget target = MountTarget.Resolve(In("file"));
        Assert.Equal(new MountTarget(In("file"), null), target);
        Assert.Equal(In("file"), target.FilePath);
        Assert.True(target.IsFile);
    }

    [Theory]
    [InlineData("")]
    [InlineData("/")]
    public void Directory_gets_the_default_name(string end)
    {
        MountTarget target = MountTarget.Resolve(_directory + end);
        Assert.Equal(new MountTarget(_directory, "nbd"), target);
        Assert.Equal(In("nbd"), target.FilePath);
    }

    [Fact]
    public void Missing_name_in_a_directory_becomes_the_name_of_the_file()
    {
        Assert.Equal(new MountTarget(_directory, "disk.img"), MountTarget.Resolve(In("disk.img")));
    }

    [Fact]
    public void Relative_path_is_taken_from_the_working_directory()
    {
        string relative = Path.GetRelativePath(Environment.CurrentDirectory, _directory);
        Assert.Equal(_directory, MountTarget.Resolve(relative).Path);
    }

    [Theory]
    [InlineData("no/such/file", "mkdir -p")]
    [InlineData("missing/", "mkdir")]
    [InlineData("file/", "slash")]
    [InlineData("file/below", "ot a directory")]
    public void Path_that_cannot_be_mounted_over_is_explained(string path, string remedy)
    {
        File.WriteAllText(In("file"), string.Empty);
        FuseException error = Assert.Throws<FuseException>(() => MountTarget.Resolve(In(path)));
        Assert.Contains(In(path), error.Message, StringComparison.Ordinal);
        Assert.Contains(remedy, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Device_node_is_neither_file_nor_directory()
    {
        FuseException error = Assert.Throws<FuseException>(() => MountTarget.Resolve("/dev/null"));
        Assert.Contains("/dev/null", error.Message, StringComparison.Ordinal);
        Assert.Throws<FuseException>(() => MountTarget.Resolve(string.Empty));
    }

    [Fact]
    public void Symbolic_links_are_resolved_in_what_is_mounted_over()
    {
        File.WriteAllText(In("file"), string.Empty);
        Directory.CreateDirectory(In("dir"));
        File.CreateSymbolicLink(In("link"), In("file"));
        Directory.CreateSymbolicLink(In("dirlink"), "dir");
        Assert.Equal(new MountTarget(In("file"), null), MountTarget.Resolve(In("link")));
        Assert.Equal(new MountTarget(In("dir"), "nbd"), MountTarget.Resolve(In("dirlink/")));
        Assert.Equal(new MountTarget(In("dir"), "disk"), MountTarget.Resolve(In("dirlink/disk")));
    }
}
