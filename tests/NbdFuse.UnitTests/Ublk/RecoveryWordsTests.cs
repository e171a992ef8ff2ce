using NbdFuse.Attach;
using NbdFuse.Cli;
using NbdFuse.Native.Ublk;
using NbdFuse.Ublk;
using Xunit;

namespace NbdFuse.UnitTests.Ublk;

public sealed class RecoveryWordsTests
{
    [Theory]
    [InlineData("--driver ublk nbd://host/", "--driver ublk nbd://host/")]
    [InlineData("--entry /run/nbdfuse/abc -r nbd://host/", "-r nbd://host/")]
    [InlineData("--kept=/home/user --entry /run/nbdfuse/abc -r nbd://host/", "-r nbd://host/")]
    [InlineData("--prepared --foreground nbd://host/", "--foreground nbd://host/")]
    [InlineData("--recover /dev/ublkb1 --entry /run/x nbd://host/", "nbd://host/")]
    [InlineData("--recover=/dev/ublkb1 nbd://host/", "nbd://host/")]
    public void Words_of_one_start_are_left_out(string words, string expected)
    {
        Assert.Equal(
            ["--recover", "/dev/ublkb3", .. expected.Split(' ')],
            RecoveryWords.Compose("/dev/ublkb3", words.Split(' ')));
    }

    [Fact]
    public void Device_that_a_keeper_holds_is_known_by_the_process_that_serves_it()
    {
        int pid = Environment.ProcessId;
        var device = new UblkDeviceStatus(0, "/dev/ublkb0", UblkState.Live, pid, true, true, 1 << 20, false, true);
        var state = new AttachState
        {
            Pid = int.MaxValue,
            ProcessStart = 1,
            Worker = pid,
            WorkerStart = AttachEntry.ProcessStart(pid),
            Driver = UblkKind.Name,
        };
        Assert.True(UblkKind.IsOf(device, state));
        Assert.False(UblkKind.IsOf(device, state with { WorkerStart = state.WorkerStart - 1 }));
        Assert.False(UblkKind.IsOf(device with { ServerPid = int.MaxValue }, state));
    }

    [Fact]
    public void Device_of_a_living_process_is_not_that_of_an_older_one_with_its_number()
    {
        int pid = Environment.ProcessId;
        var device = new UblkDeviceStatus(0, "/dev/ublkb0", UblkState.Live, pid, true, true, 1 << 20, false, true);
        var state = new AttachState { Pid = pid, ProcessStart = AttachEntry.ProcessStart(pid), Driver = UblkKind.Name };
        Assert.True(UblkKind.IsOf(device, state));
        Assert.False(UblkKind.IsOf(device, state with { ProcessStart = state.ProcessStart - 1 }));
        Assert.False(UblkKind.IsOf(device with { IsOurs = false }, state));

        // Nobody has the number now.
        Assert.True(UblkKind.IsOf(device with { ServerPid = int.MaxValue }, state with { Pid = int.MaxValue }));
    }

    [Theory]
    [InlineData("/dev/ublkb0", 0)]
    [InlineData("/dev/ublkb17", 17)]
    [InlineData("/dev/ublkb", -1)]
    [InlineData("/dev/ublkb1p1", -1)]
    [InlineData("/dev/ublkc1", -1)]
    [InlineData("/dev/ublkb-1", -1)]
    [InlineData("ublkb1", -1)]
    public void Path_of_a_device_has_its_number(string path, int expected)
    {
        Assert.Equal(expected >= 0, UblkKind.TryNumber(path, out int number));
        Assert.True(expected < 0 || number == expected);
        Assert.Equal(expected >= 0, new UblkKind().IsPath(path));
    }
}
