using NbdFuse.Fuse;
using Xunit;

namespace NbdFuse.UnitTests.Fuse;

public sealed class MountTableTests
{
    private static readonly List<MountEntry> Table = MountTable.Parse(
    [
        "21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw",
        "36 21 0:44 / /mnt/a\\040b rw,nosuid - fuse.nbdfuse a\\040b rw,user_id=0",
        "37 21 0:45 / /mnt/x rw shared:2 master:3 - fuse.sshfs host: rw",
        "38 37 0:46 / /mnt/x rw - fuse nbdfuse rw",
        "nonsense",
        "39 21 0:47",
    ]);

    [Fact]
    public void Lines_are_parsed_with_optional_fields_and_escapes()
    {
        Assert.Equal(4, Table.Count);
        Assert.Equal(new MountEntry(36, "0:44", "/mnt/a b", "fuse.nbdfuse", "a b"), Table[1]);
    }

    [Fact]
    public void Mount_on_top_is_found_and_only_ours_is_ours()
    {
        Assert.Equal(38, MountTable.At(Table, "/mnt/x")!.Id);
        Assert.Null(MountTable.At(Table, "/mnt"));
        Assert.Equal([false, true, false, true], Table.Select(entry => entry.IsOurs));
        Assert.Equal([false, true, true, true], Table.Select(entry => entry.IsFuse));
        Assert.False(Table[1].IsSameMount(Table[1] with { Device = "0:48" }));
    }

    [Theory]
    [InlineData("/mnt/x/y", 38)]
    [InlineData("/mnt/xy", 21)]
    [InlineData("/mnt/a b", 36)]
    public void Mount_that_covers_a_path_is_the_innermost(string path, int id) =>
        Assert.Equal(id, MountTable.Covering(Table, path)!.Id);
}
