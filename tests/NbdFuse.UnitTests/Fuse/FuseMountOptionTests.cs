using NbdFuse.Fuse;
using NbdFuse.Native;
using Xunit;

namespace NbdFuse.UnitTests.Fuse;

public sealed class FuseMountOptionTests
{
    [Fact]
    public void Parse_of_several_arguments_collects_all_options()
    {
        FuseMountOptions options = FuseMountOptionParser.Parse(
            ["ro,allow_other,fsname=a\\,b", "uid=7,gid=8,umask=027,mode=0640", "max_read=65536,kernel_cache,attr_timeout=1.5,,noexec,suid"]);
        Assert.True(options.IsReadOnly && options.AllowOther && options.KernelCache);
        Assert.Equal("a,b", options.FileSystemName);
        Assert.Equal((7u, 8u, 0x17u, 0x1A0u), (options.Uid!.Value, options.Gid!.Value, options.Umask!.Value, options.Mode!.Value));
        Assert.Equal(65536, options.MaximumRead);
        Assert.Equal(1500, options.AttributeTimeoutMs);
        Assert.Equal(MountFlags.ReadOnly | MountFlags.NoDevices | MountFlags.NoExec, options.Flags);
    }

    [Fact]
    public void Parse_lets_the_later_option_win()
    {
        Assert.False(FuseMountOptionParser.Parse(["ro", "rw"]).IsReadOnly);
        Assert.Equal("y", FuseMountOptionParser.Parse(["subtype=x,subtype=y"]).Subtype);
    }

    [Theory]
    [InlineData("frobnicate", "not known")]
    [InlineData("frobnicate=3", "not known")]
    [InlineData("uid", "needs a value")]
    [InlineData("ro=1", "takes no value")]
    public void Parse_of_an_unknown_option_names_it_and_lists_the_known(string option, string reason)
    {
        FuseException error = Assert.Throws<FuseException>(() => FuseMountOptionParser.Parse([option]));
        Assert.Contains(option, error.Message, StringComparison.Ordinal);
        Assert.Contains(reason, error.Message, StringComparison.Ordinal);
        Assert.Contains("allow_other", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("uid=-1")]
    [InlineData("uid=4294967295")]
    [InlineData("uid=")]
    [InlineData("umask=8")]
    [InlineData("umask=1000")]
    [InlineData("mode=77777777777777")]
    [InlineData("max_read=4095")]
    [InlineData("max_read=99999999999")]
    [InlineData("max_write=1048577")]
    [InlineData("max_background=0")]
    [InlineData("max_background=65536")]
    [InlineData("attr_timeout=x")]
    [InlineData("attr_timeout=-1")]
    [InlineData("fsname=")]
    [InlineData("allow_other,allow_root")]
    public void Parse_of_a_value_out_of_range_fails(string option)
    {
        Assert.Throws<FuseException>(() => FuseMountOptionParser.Parse([option]));
    }

    [Theory]
    [InlineData("clone_fd")]
    [InlineData("max_threads=4")]
    [InlineData("max_idle_threads=10")]
    [InlineData("noforget,remember=5")]
    [InlineData("_netdev,nofail,x-systemd.automount")]
    public void Options_of_libfuse_and_fstab_without_a_meaning_here_change_nothing(string options)
    {
        Assert.Equal(FuseMountOptionParser.Parse([]), FuseMountOptionParser.Parse([options]));
    }

    [Fact]
    public void Help_explains_every_known_option()
    {
        FuseException error = Assert.Throws<FuseException>(() => FuseMountOptionParser.Parse(["nonsense"]));
        string known = error.Message[(error.Message.IndexOf("known are: ", StringComparison.Ordinal) + 11)..];
        string[] compatibility = ["ac_attr_timeout=", "negative_timeout=", "noauto_cache"];
        foreach (string option in known.Split(", ").Except(compatibility))
        {
            Assert.Contains(option, FuseMountOptionParser.Help, StringComparison.Ordinal);
        }
    }
}
