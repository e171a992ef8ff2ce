using System.Runtime.InteropServices;
using NbdFuse.Native;
using NbdFuse.Native.Fuse;
using Xunit;

namespace NbdFuse.UnitTests.Fuse;

public sealed class FuseMalformedTests
{
    [Theory]
    [InlineData(FuseOpcode.Read, 40)]
    [InlineData(FuseOpcode.Write, 40)]
    [InlineData(FuseOpcode.Fsync, 16)]
    [InlineData(FuseOpcode.Flush, 24)]
    [InlineData(FuseOpcode.Release, 24)]
    [InlineData(FuseOpcode.Fallocate, 32)]
    [InlineData(FuseOpcode.Lseek, 24)]
    [InlineData(FuseOpcode.Open, 8)]
    [InlineData(FuseOpcode.Setattr, 88)]
    [InlineData(FuseOpcode.Readdir, 40)]
    [InlineData(FuseOpcode.Init, 16)]
    public void Request_that_is_too_short_is_refused_and_the_session_goes_on(FuseOpcode opcode, int needed)
    {
        using FakeKernel kernel = new();
        foreach (int length in new[] { 0, needed / 2, needed - 1 })
        {
            Assert.Equal(Errno.EINVAL, kernel.Answer(kernel.Send(opcode, new byte[length])).Error);
        }

        kernel.Barrier();
    }

    [Fact]
    public void Header_that_lies_about_the_length_is_refused()
    {
        using FakeKernel kernel = new();
        byte[] body = new byte[16];
        Assert.Equal(Errno.EINVAL, kernel.Answer(kernel.Send(FuseOpcode.Getattr, body, length: 40)).Error);
        Assert.Equal(Errno.EINVAL, kernel.Answer(kernel.Send(FuseOpcode.Getattr, body, length: 4096)).Error);
        kernel.Barrier();
    }

    [Fact]
    public void Write_that_claims_more_data_than_came_is_refused()
    {
        using FakeKernel kernel = new();
        byte[] body = new byte[40 + 512];
        FuseWriteIn write = new() { Size = 513 };
        MemoryMarshal.Write(body, in write);
        Assert.Equal(Errno.EINVAL, kernel.Answer(kernel.Send(FuseOpcode.Write, body)).Error);
        Assert.Empty(kernel.Log());
    }

    [Theory]
    [InlineData(0ul, (1u << 20) + 1)]
    [InlineData(0ul, uint.MaxValue)]
    [InlineData(ulong.MaxValue, 512u)]
    public void Read_out_of_bounds_is_refused(ulong offset, uint size)
    {
        using FakeKernel kernel = new();
        Assert.Equal(Errno.EINVAL, kernel.Ask(FuseOpcode.Read, new FuseReadIn { Offset = offset, Size = size }).Error);
    }

    [Fact]
    public void Message_without_a_whole_header_is_dropped()
    {
        using FakeKernel kernel = new();
        kernel.SendRaw(new byte[39]);
        kernel.SendRaw(new byte[1]);
        kernel.Barrier();
    }

    [Fact]
    public void Messages_without_an_answer_get_none_even_when_malformed()
    {
        using FakeKernel kernel = new();
        kernel.Send(FuseOpcode.Interrupt, []);
        kernel.Send(FuseOpcode.Forget, []);
        kernel.Send(FuseOpcode.BatchForget, new byte[3], length: 1000);
        kernel.Send(FuseOpcode.NotifyReply, new byte[8]);
        kernel.Barrier();
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Random_messages_never_end_the_session(int seed)
    {
        using FakeKernel kernel = new();
        Random random = new(seed);
        for (int i = 0; i < 500; i++)
        {
            byte[] body = new byte[random.Next(0, 200)];
            random.NextBytes(body);
            FuseOpcode opcode = (FuseOpcode)random.Next(0, 60);
            if (opcode is FuseOpcode.Init)
            {
                continue;
            }

            kernel.Send(opcode, body, node: (ulong)random.Next(0, 3));
            bool answered = opcode is not (FuseOpcode.Interrupt or FuseOpcode.Forget or FuseOpcode.BatchForget or FuseOpcode.NotifyReply);
            if (answered)
            {
                (_, int error, _) = kernel.Receive();
                Assert.InRange(error, 0, 511);
            }
        }

        kernel.Barrier();
        Assert.Equal(16, kernel.FreeBuffers);
    }
}
