using System.Runtime.InteropServices;
using System.Text;
using NbdFuse.Fuse;
using NbdFuse.Native;
using NbdFuse.Native.Fuse;
using Xunit;

namespace NbdFuse.UnitTests.Fuse;

public sealed class FuseMetadataTests
{
    private const ulong FileNode = 2;
    private static readonly FuseSessionOptions Directory = new() { FileName = "disk" };

    private static FuseAttr Attributes(byte[] body) => MemoryMarshal.Read<FuseAttrOut>(body).Attr;

    [Theory]
    [InlineData(false, 0x81B6u)]
    [InlineData(true, 0x8124u)]
    public void File_shows_size_blocks_and_mode(bool readOnly, uint mode)
    {
        using FakeKernel kernel = new(info: FakeKernel.DefaultInfo with { Size = 65000, IsReadOnly = readOnly, PreferredBlock = 512 });
        FuseAttr file = Attributes(kernel.Ask(FuseOpcode.Getattr, new FuseGetattrIn()).Body);
        Assert.Equal((65000ul, 127ul, mode, 1u), (file.Size, file.Blocks, file.Mode, file.Links));
        Assert.Equal(4096u, file.BlockSize);
        Assert.Equal(Posix.GetEuid(), file.Uid);
    }

    [Fact]
    public void Owner_and_mode_of_the_options_are_shown()
    {
        FuseMountOptions mount = new() { Uid = 12, Gid = 34, Umask = 0x3F, Mode = 0x1B4 };
        using FakeKernel kernel = new(new FuseSessionOptions { Mount = mount });
        FuseAttr file = Attributes(kernel.Ask(FuseOpcode.Getattr, new FuseGetattrIn()).Body);
        Assert.Equal((12u, 34u, 0x8180u), (file.Uid, file.Gid, file.Mode));
        Assert.True(mount.ChecksPermissions);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Umask_without_a_mode_is_taken_from_all_bits(bool readOnly)
    {
        FuseMountOptions mount = FuseMountOptionParser.Parse(["umask=022"]);
        using FakeKernel kernel = new(new FuseSessionOptions { Mount = mount }, FakeKernel.DefaultInfo with { IsReadOnly = readOnly });
        Assert.Equal(0x81EDu, Attributes(kernel.Ask(FuseOpcode.Getattr, new FuseGetattrIn()).Body).Mode);
    }

    [Theory]
    [InlineData(FuseSetattrValid.Size, (ulong)FakeKernel.Size, 0)]
    [InlineData(FuseSetattrValid.Size | FuseSetattrValid.Handle, (ulong)FakeKernel.Size, 0)]
    [InlineData(FuseSetattrValid.Size | FuseSetattrValid.ModifyTime | FuseSetattrValid.ModifyTimeNow, 0ul, 0)]
    [InlineData(FuseSetattrValid.Size | FuseSetattrValid.ModifyTime | FuseSetattrValid.Handle, 0ul, Errno.EINVAL)]
    [InlineData(FuseSetattrValid.Size | FuseSetattrValid.LockOwner, 0ul, 0)]
    [InlineData(FuseSetattrValid.Size | FuseSetattrValid.Handle, 0ul, Errno.EINVAL)]
    [InlineData(FuseSetattrValid.Size, (ulong)FakeKernel.Size + 1, Errno.EINVAL)]
    [InlineData(FuseSetattrValid.Size | FuseSetattrValid.ModifyTime, 4096ul, Errno.EINVAL)]
    public void Size_can_be_set_to_itself_and_by_open_to_nothing_which_changes_nothing(FuseSetattrValid valid, ulong size, int expected)
    {
        using FakeKernel kernel = new();
        (int error, byte[] body) = kernel.Ask(FuseOpcode.Setattr, new FuseSetattrIn { Valid = valid, Size = size });
        Assert.Equal(expected, error);
        if (error == 0)
        {
            Assert.Equal((ulong)FakeKernel.Size, Attributes(body).Size);
        }

        Assert.Empty(kernel.Log());
    }

    [Fact]
    public void Mode_owner_and_times_are_remembered()
    {
        using FakeKernel kernel = new();
        FuseSetattrIn set = new()
        {
            Valid = FuseSetattrValid.Mode | FuseSetattrValid.Uid | FuseSetattrValid.Gid | FuseSetattrValid.ModifyTime,
            Mode = 0x8000 | 0x1A0,
            Uid = 5,
            Gid = 6,
            ModifyTime = 1234567,
            ModifyTimeNs = 89,
        };
        Assert.Equal(0, kernel.Ask(FuseOpcode.Setattr, set).Error);
        FuseAttr file = Attributes(kernel.Ask(FuseOpcode.Getattr, new FuseGetattrIn()).Body);
        Assert.Equal((0x81A0u, 5u, 6u, 1234567ul, 89u), (file.Mode, file.Uid, file.Gid, file.ModifyTime, file.ModifyTimeNs));
    }

    [Theory]
    [InlineData(FuseSetattrValid.Mode, Errno.EPERM)]
    [InlineData(FuseSetattrValid.Uid, Errno.EPERM)]
    [InlineData(FuseSetattrValid.ModifyTime, Errno.EPERM)]
    [InlineData(FuseSetattrValid.ModifyTime | FuseSetattrValid.ModifyTimeNow, 0)]
    public void Strangers_can_set_times_to_now_only(FuseSetattrValid valid, int expected)
    {
        using FakeKernel kernel = new(new FuseSessionOptions { Mount = new FuseMountOptions { Uid = 1000 } });
        Assert.Equal(expected, kernel.Ask(FuseOpcode.Setattr, new FuseSetattrIn { Valid = valid, Uid = 77 }, uid: 77).Error);
    }

    [Fact]
    public void Write_moves_the_modification_time()
    {
        using FakeKernel kernel = new();
        FuseSetattrIn set = new() { Valid = FuseSetattrValid.ModifyTime, ModifyTime = 1000 };
        kernel.Ask(FuseOpcode.Setattr, set);
        kernel.Answer(kernel.SendWrite(0, new byte[512]));
        Assert.True(Attributes(kernel.Ask(FuseOpcode.Getattr, new FuseGetattrIn()).Body).ModifyTime > 1000);
    }

    [Theory]
    [InlineData(0x4000u, false, FuseOpenOutFlags.DirectIo | FuseOpenOutFlags.ParallelDirectWrites | FuseOpenOutFlags.NoFlush)]
    [InlineData(0x4002u, false, FuseOpenOutFlags.DirectIo | FuseOpenOutFlags.ParallelDirectWrites)]
    [InlineData(0u, false, FuseOpenOutFlags.NoFlush)]
    [InlineData(2u, false, FuseOpenOutFlags.None)]
    [InlineData(2u, true, FuseOpenOutFlags.KeepCache)]
    public void Open_chooses_between_the_page_cache_and_direct_io(uint flags, bool kernelCache, FuseOpenOutFlags expected)
    {
        Assert.SkipUnless(RuntimeInformation.ProcessArchitecture == Architecture.X64, "O_DIRECT has another number here");
        using FakeKernel kernel = new(new FuseSessionOptions { Mount = new FuseMountOptions { KernelCache = kernelCache } });
        (int error, byte[] body) = kernel.Ask(FuseOpcode.Open, new FuseOpenIn { Flags = flags });
        Assert.Equal(0, error);
        Assert.Equal(expected, MemoryMarshal.Read<FuseOpenOut>(body).OpenFlags);
    }

    [Fact]
    public void Directory_lists_and_finds_its_one_file()
    {
        using FakeKernel kernel = new(Directory);
        FuseAttr root = Attributes(kernel.Ask(FuseOpcode.Getattr, new FuseGetattrIn()).Body);
        Assert.Equal(0x41EDu, root.Mode);
        Assert.Equal(0, kernel.Ask(FuseOpcode.Opendir, new FuseOpenIn()).Error);
        (int error, byte[] body) = kernel.Ask(FuseOpcode.Readdir, new FuseReadIn { Size = 4096 });
        Assert.Equal(0, error);
        Assert.Equal([".", "..", "disk"], Names(body));
        (error, body) = kernel.Answer(kernel.Send(FuseOpcode.Lookup, "disk\0"u8));
        Assert.Equal(0, error);
        FuseEntryOut entry = MemoryMarshal.Read<FuseEntryOut>(body);
        Assert.Equal(FileNode, entry.NodeId);
        Assert.Equal((ulong)FakeKernel.Size, entry.Attr.Size);
        Assert.Equal(Errno.ENOENT, kernel.Answer(kernel.Send(FuseOpcode.Lookup, "dis\0"u8)).Error);
        Assert.Equal(Errno.ENOENT, kernel.Answer(kernel.Send(FuseOpcode.Lookup, "nbd\0"u8)).Error);
        Assert.Equal(Errno.EINVAL, kernel.Answer(kernel.Send(FuseOpcode.Lookup, "disk"u8)).Error);
        Assert.Equal(Errno.EISDIR, kernel.Answer(kernel.SendRead(0, 512)).Error);
        Assert.Equal(0, kernel.Ask(FuseOpcode.Read, new FuseReadIn { Size = 512 }, FileNode).Error);
    }

    [Fact]
    public void Directory_is_listed_in_pieces_when_the_buffer_is_small()
    {
        using FakeKernel kernel = new(Directory);
        List<string> names = [];
        ulong offset = 0;
        while (names.Count < 10)
        {
            (int error, byte[] body) = kernel.Ask(FuseOpcode.Readdir, new FuseReadIn { Size = 40, Offset = offset });
            Assert.Equal(0, error);
            if (body.Length == 0)
            {
                break;
            }

            Assert.True(body.Length <= 40);
            names.Add(Assert.Single(Names(body)));
            offset = MemoryMarshal.Read<FuseDirent>(body).Offset;
        }

        Assert.Equal([".", "..", "disk"], names);
    }

    [Fact]
    public void Statfs_shows_a_full_file_system_of_the_right_size()
    {
        using FakeKernel kernel = new();
        FuseKstatfs stat = MemoryMarshal.Read<FuseStatfsOut>(kernel.Answer(kernel.Send(FuseOpcode.Statfs, [])).Body).Stat;
        Assert.Equal((16ul, 0ul, 4096u, 255u), (stat.Blocks, stat.BlocksFree, stat.BlockSize, stat.NameLength));
    }

    [Fact]
    public void Allow_root_turns_everybody_else_away()
    {
        using FakeKernel kernel = new(new FuseSessionOptions { Mount = new FuseMountOptions { AllowRoot = true } });
        uint stranger = Posix.GetEuid() + 1000;
        Assert.Equal(Errno.EACCES, kernel.Ask(FuseOpcode.Open, new FuseOpenIn(), uid: stranger).Error);
        Assert.Equal(0, kernel.Ask(FuseOpcode.Open, new FuseOpenIn(), uid: 0).Error);
        Assert.Equal(0, kernel.Ask(FuseOpcode.Open, new FuseOpenIn(), uid: Posix.GetEuid()).Error);
        Assert.Equal(0, kernel.Ask(FuseOpcode.Read, new FuseReadIn { Size = 512 }, uid: stranger).Error);
    }

    private static List<string> Names(ReadOnlySpan<byte> body)
    {
        List<string> names = [];
        while (!body.IsEmpty)
        {
            FuseDirent entry = MemoryMarshal.Read<FuseDirent>(body);
            names.Add(Encoding.UTF8.GetString(body.Slice(24, (int)entry.NameLength)));
            body = body[((24 + (int)entry.NameLength + 7) & ~7)..];
        }

        return names;
    }
}
