using NbdFuse.Native;
using Xunit;

namespace NbdFuse.UnitTests.Native;

public sealed class PosixFileTests : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("nbdfuse-files-");

    public void Dispose() => _folder.Delete(recursive: true);

    [Fact]
    public void A_file_round_trips_by_position_and_reports_its_status()
    {
        using FileDescriptor file = Create("data");
        Assert.Equal(5, Posix.PWrite(file.Value, "hello"u8, 4096));
        byte[] buffer = new byte[16];
        Assert.Equal(5, Posix.PRead(file.Value, buffer, 4096));
        Assert.Equal("hello"u8.ToArray(), buffer[..5]);
        Assert.Equal(0, Posix.Fsync(file.Value));
        Assert.Equal(0, Posix.Fdatasync(file.Value));

        Assert.Equal(0, Posix.Fstat(file.Value, out FileStatus status));
        Assert.Equal(4101, status.Size);
        Assert.True(status.IsRegular);
        Assert.Equal(0x180u, status.Mode & 0xFFF);
        Assert.Equal(Posix.GetEuid(), status.Uid);
        Assert.InRange(status.ModifiedSeconds, DateTimeOffset.UtcNow.ToUnixTimeSeconds() - 3600, DateTimeOffset.UtcNow.ToUnixTimeSeconds() + 3600);

        Assert.Equal(0, Posix.FTruncate(file.Value, 100));
        Assert.Equal(0, Posix.Stat(Path("data"), out status));
        Assert.Equal(100, status.Size);
        Assert.Equal(100, Posix.Lseek(file.Value, 0, Posix.SeekEnd));
        Assert.Equal(0, Posix.Read(file.Value, buffer));
    }

    [Fact]
    public void Errors_are_negative_errnos()
    {
        Assert.Equal(-Errno.ENOENT, Posix.Open(Path("missing"), OpenFlags.ReadOnly));
        Assert.Equal(-Errno.ENOTDIR, Posix.Open(CreateAndClose("plain"), OpenFlags.Directory));
        Assert.Equal(-Errno.EBADF, Posix.Read(-1, new byte[1]));
        Assert.Equal(-Errno.EBADF, Posix.Close(-1));
        Assert.Equal(-Errno.ENOENT, Posix.Lstat(Path("missing"), out _));
        Assert.Equal(-Errno.ESPIPE, WithPipe((reader, _) => (int)Posix.Lseek(reader, 0, Posix.SeekSet)));
        Assert.Throws<ArgumentException>(() => Posix.Open("a\0b", OpenFlags.ReadOnly));
    }

    [Fact]
    public void Links_are_read_and_not_followed_on_demand()
    {
        File.CreateSymbolicLink(Path("link"), "some/target");
        Assert.Equal("some/target".Length, Posix.ReadLink(Path("link"), out string? target));
        Assert.Equal("some/target", target);
        Assert.Equal(0, Posix.Lstat(Path("link"), out FileStatus status));
        Assert.Equal(FileStatus.TypeLink, status.Mode & FileStatus.TypeMask);
        Assert.Equal(-Errno.ELOOP, Posix.Open(Path("link"), OpenFlags.NoFollow));
    }

    [Fact]
    public void Device_numbers_of_status_are_those_of_the_device()
    {
        Assert.Equal(0, Posix.Stat("/dev/null", out FileStatus status));
        Assert.Equal((1u, 3u), (status.RDeviceMajor, status.RDeviceMinor));
        Assert.Equal(0x103ul, status.RDevice);
    }

    [Fact]
    public void Vectors_are_written_and_read_in_order()
    {
        using FileDescriptor file = Create("vectors");
        using NativeBuffer buffer = NativeBuffer.Allocate(4096);
        "abcdefgh"u8.CopyTo(buffer.Span);
        using IoVectorList vectors = new(4);
        vectors.Add(buffer.Span.Slice(4, 4));
        vectors.Add(buffer.Span.Slice(0, 2));
        Assert.Equal(6, Posix.WriteV(file.Value, vectors));
        Posix.Lseek(file.Value, 0, Posix.SeekSet);
        buffer.Span.Clear();
        vectors.Clear();
        vectors.Add(buffer.Span.Slice(100, 3));
        vectors.Add(buffer.Span.Slice(0, 10));
        Assert.Equal(6, Posix.ReadV(file.Value, vectors));
        Assert.Equal("efg"u8.ToArray(), buffer.Span.Slice(100, 3).ToArray());
        Assert.Equal("hab"u8.ToArray(), buffer.Span[..3].ToArray());
    }

    [Fact]
    public void Pipe_capacity_can_be_set_and_read()
    {
        WithPipe((reader, writer) =>
        {
            Assert.Equal(16384, Posix.FcntlSetPipeSize(writer, 16384));
            Assert.Equal(16384, Posix.FcntlGetPipeSize(reader));
            return 0;
        });
    }

    [Fact]
    public void Descriptor_flags_switch_and_duplicates_are_close_on_exec()
    {
        WithPipe((reader, writer) =>
        {
            Assert.Equal(1, Posix.GetCloseOnExec(reader));
            Assert.Equal(0, Posix.SetCloseOnExec(reader, false));
            Assert.Equal(0, Posix.GetCloseOnExec(reader));
            Assert.Equal(0, Posix.SetNonBlocking(reader, true));
            Assert.Equal(-Errno.EAGAIN, Posix.Read(reader, new byte[1]));

            using FileDescriptor duplicate = FileDescriptor.OwnOrThrow(Posix.DupAbove(reader, 200), "duplicate");
            Assert.True(duplicate.Value >= 200);
            Assert.Equal(1, Posix.GetCloseOnExec(duplicate.Value));
            Posix.Write(writer, "x"u8);
            Assert.Equal((int)PollEvents.In, Posix.Poll(duplicate.Value, PollEvents.In, 0));
            Assert.Equal(1, Posix.Read(duplicate.Value, new byte[1]));
            Assert.Equal(0, Posix.Poll(duplicate.Value, PollEvents.In, 0));
            return 0;
        });
    }

    [Fact]
    public void A_descriptor_is_closed_exactly_once()
    {
        PosixException.Check(Posix.Pipe2(out int reader, out int writer), "pipe");
        using FileDescriptor writerOwner = FileDescriptor.Own(writer);
        FileDescriptor owner = FileDescriptor.Own(reader);
        owner.Dispose();
        Assert.True(owner.IsClosed);
        owner.Dispose();
        Assert.Equal(-1, owner.Detach());

        FileDescriptor given = FileDescriptor.OwnOrThrow(Posix.Dup(writer), "duplicate");
        int number = given.Detach();
        given.Dispose();
        Assert.Equal(0, Posix.Close(number));
    }

    [Fact]
    public void Eventfd_counts()
    {
        using FileDescriptor counter = FileDescriptor.OwnOrThrow(Posix.EventFdCreate(), "eventfd");
        Assert.Equal(-Errno.EAGAIN, Posix.EventFdRead(counter.Value));
        Assert.Equal(0, Posix.EventFdWrite(counter.Value, 3));
        Assert.Equal(0, Posix.EventFdWrite(counter.Value));
        Assert.Equal(4, Posix.EventFdRead(counter.Value));
    }

    [Theory]
    [InlineData(Errno.ECONNREFUSED, "ECONNREFUSED", "Connection refused (ECONNREFUSED)")]
    [InlineData(-Errno.ENOENT, "ENOENT", "No such file or directory (ENOENT)")]
    [InlineData(Errno.EOPNOTSUPP, "EOPNOTSUPP", "Operation not supported (EOPNOTSUPP)")]
    [InlineData(Errno.EAGAIN, "EAGAIN", "Resource temporarily unavailable (EAGAIN)")]
    public void Errors_have_names_and_texts(int error, string name, string text)
    {
        Assert.Equal(name, Errno.Name(error));
        Assert.Equal(text, Errno.Describe(error));
        Assert.Equal($"opening: {text}", new PosixException("opening", error).Message);
    }

    [Fact]
    public void Every_error_constant_has_its_own_name()
    {
        foreach (System.Reflection.FieldInfo field in typeof(Errno).GetFields())
        {
            if (field.Name is not nameof(Errno.EWOULDBLOCK) and not nameof(Errno.ENOTSUP))
            {
                Assert.Equal(field.Name, Errno.Name((int)field.GetRawConstantValue()!));
            }
        }
    }

    [Fact]
    public void Process_facts_agree_with_the_runtime()
    {
        Assert.Equal(Environment.ProcessId, Posix.GetPid());
        Assert.True(Posix.GetTid() > 0);
        Assert.Equal(0, Posix.SchedYield());
        Assert.Equal(-Errno.ESRCH, Posix.Kill(int.MaxValue, 0));
        Assert.Equal(-Errno.EINVAL, Posix.Umount2(_folder.FullName, 0x7F000000));
        Assert.Equal(-Errno.EBADF, Posix.Setns(-1, 0));
    }

    private static int WithPipe(Func<int, int, int> action)
    {
        PosixException.Check(Posix.Pipe2(out int reader, out int writer), "pipe");
        using FileDescriptor readerOwner = FileDescriptor.Own(reader);
        using FileDescriptor writerOwner = FileDescriptor.Own(writer);
        return action(reader, writer);
    }

    private string Path(string name) => System.IO.Path.Combine(_folder.FullName, name);

    private FileDescriptor Create(string name) =>
        FileDescriptor.OwnOrThrow(Posix.Open(Path(name), OpenFlags.ReadWrite | OpenFlags.Create | OpenFlags.Exclusive, 0x180), name);

    private string CreateAndClose(string name)
    {
        Create(name).Dispose();
        return Path(name);
    }
}
