using System.Text.Json;
using NbdFuse.Native;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>Attached devices whose server goes away.</summary>
public sealed class AttachOutageTests
{
    [Fact]
    public async Task Device_waits_for_its_server_and_status_tells_of_it()
    {
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Size = 8 << 20 });
        await using AttachedDevice device = await AttachedDevice.StartAsync(server.Uri);
        JsonElement recovery = device.Status().GetProperty("recovery");
        Assert.Equal(1, recovery.GetProperty("generation").GetInt32());
        Assert.Equal(16 << 20, recovery.GetProperty("write-log-capacity").GetInt64());
        using var file = new MountedFile(device.Path, OpenFlags.ReadWrite | OpenFlags.Direct);
        using var data = NativeBuffer.Allocate(65536);
        PatternData.Fill(data.Span, 1, 0);
        Assert.Equal(65536, file.TryWrite(0, data.Span));
        Assert.Equal(65536, device.Status().GetProperty("recovery").GetProperty("write-log-bytes").GetInt64());

        server.Kill();
        await Deadline.Until(() => device.Status().GetProperty("state").GetString() == "recovering", "the loss to be noticed");
        Assert.Contains("closed the connection", device.Status().GetProperty("reason").GetString(), StringComparison.Ordinal);
        using var read = NativeBuffer.Allocate(65536);
        Task<int> reading = Task.Factory.StartNew(() => file.TryRead(0, read.Span), TaskCreationOptions.LongRunning);
        await Deadline.Until(() => device.Status().GetProperty("in-flight").GetInt32() > 0, "the read to wait");
        await server.RestartAsync();
        Assert.Equal(65536, await Deadline.Within(reading, "the read"));
        PatternData.AssertEqual(data.Span, read.Span);

        await Deadline.Until(() => device.Status().GetProperty("state").GetString() == "online", "the server to be back");
        recovery = device.Status().GetProperty("recovery");
        Assert.Equal(2, recovery.GetProperty("generation").GetInt32());
        Assert.Equal(1, recovery.GetProperty("reconnects").GetInt32());
        Assert.True(recovery.GetProperty("replayed-writes").GetInt64() > 0);
        Assert.Contains("generation 2: reconnected 1 times", (await device.RunAsync("status")).EnsureSuccess().Output, StringComparison.Ordinal);
        file.Dispose();
        await device.DetachCleanlyAsync();
        PatternData.AssertEqual(data.Span, server.ReadBacking(0, 65536));
    }

    [Fact]
    public async Task Forced_detach_ends_a_device_whose_server_is_away_and_who_waits_for_it()
    {
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Size = 8 << 20 });
        await using AttachedDevice device = await AttachedDevice.StartAsync(server.Uri);
        int pid = device.Pid;
        using (var file = new MountedFile(device.Path, OpenFlags.ReadWrite | OpenFlags.Direct))
        {
            using var data = NativeBuffer.Allocate(4096);
            Assert.Equal(4096, file.TryWrite(0, data.Span));
            server.Kill();
            await Deadline.Until(() => device.Status().GetProperty("state").GetString() == "recovering", "the loss to be noticed");
            Task<int> reading = Task.Factory.StartNew(() => file.TryRead(65536, data.Span), TaskCreationOptions.LongRunning);
            await Deadline.Until(() => device.Status().GetProperty("in-flight").GetInt32() > 0, "the read to wait");
            await device.RunAsync("detach", "--force", device.Path);
            Assert.Equal(-Errno.EIO, await Deadline.Within(reading, "the read to end"));
            await Deadline.Until(() => OtherProcess.IsGone(pid), "the process to end");
        }

        await Deadline.Until(() => NbdFuse.Attach.LoopDevice.Status(device.Path) is null, "the device to be free");
        device.AssertGone(pid);
    }

    [Fact]
    public async Task Patient_detach_waits_for_the_server()
    {
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Size = 8 << 20 });
        await using AttachedDevice device = await AttachedDevice.StartAsync(server.Uri);
        int pid = device.Pid;
        using (var file = new MountedFile(device.Path, OpenFlags.ReadWrite | OpenFlags.Direct))
        {
            using var data = NativeBuffer.Allocate(4096);
            data.Span.Fill(7);
            Assert.Equal(4096, file.TryWrite(0, data.Span));
        }

        server.Kill();
        await Deadline.Until(() => device.Status().GetProperty("state").GetString() == "recovering", "the loss to be noticed");
        await using BackgroundTool detach = AttachedDevice.Launch(device.Directory, "detach", device.Path);
        await Deadline.Until(() => device.Status().GetProperty("state").GetString() == "detaching", "the detach to begin");
        await server.RestartAsync();
        Assert.Equal(0, await Deadline.Within(detach.WaitForExitAsync(CancellationToken.None), "the detach"));
        device.AssertGone(pid);
        Assert.Equal(7, server.ReadBacking(0, 1)[0]);
    }
}
