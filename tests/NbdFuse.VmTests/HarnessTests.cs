using NbdFuse.VmTests.Harness;
using Xunit;

namespace NbdFuse.VmTests;

/// <summary>The harness itself: what a guest tells is what happened in it.</summary>
public sealed class HarnessTests(HarnessTests.PlainGuest fixture) : IClassFixture<HarnessTests.PlainGuest>
{
    [Fact]
    public async Task Command_gives_back_its_output_and_its_exit_code()
    {
        Guest guest = await fixture.GuestAsync();

        GuestResult result = await guest.RunAsync("echo to stdout; echo to stderr >&2; printf 'no line feed'; exit 7");

        Assert.Equal(7, result.ExitCode);
        Assert.Equal("to stdout\nno line feed", result.Output);
        Assert.Equal("to stderr\n", result.Error);
    }

    [Fact]
    public async Task Script_ends_at_its_first_failure()
    {
        Guest guest = await fixture.GuestAsync();

        GuestResult result = await guest.RunAsync("echo before\nfalse\necho after");

        Assert.Equal(1, result.ExitCode);
        Assert.Equal("before\n", result.Output);
        Assert.ThrowsAny<Exception>(() => result.EnsureSuccess());
    }

    [Fact]
    public async Task Large_output_arrives_whole()
    {
        Guest guest = await fixture.GuestAsync();

        GuestResult result = await guest.RunAsync("seq 1 100000");

        Assert.Equal(string.Concat(Enumerable.Range(1, 100_000).Select(static number => $"{number}\n")), result.Output);
    }

    [Fact]
    public async Task Commands_run_at_the_same_time()
    {
        Guest guest = await fixture.GuestAsync();

        // Each waits for the other.
        Task<GuestResult> first = guest.RunAsync("mkfifo a b; echo 1 >a; cat b");
        GuestResult second = await guest.RunAsync("until [ -p b ]; do sleep 0.1; done; cat a; echo 2 >b");

        Assert.Equal("1\n", second.EnsureSuccess().Output);
        Assert.Equal("2\n", (await first).EnsureSuccess().Output);
    }

    [Fact]
    public async Task Cable_can_be_pulled()
    {
        Guest guest = await fixture.GuestAsync();
        const string Carrier = "cat /sys/class/net/eth0/carrier";
        await guest.SetLinkAsync(isUp: false);
        (await guest.RunAsync($"until [ $({Carrier}) = 0 ]; do sleep 0.1; done")).EnsureSuccess();
        await guest.SetLinkAsync(isUp: true);
        (await guest.RunAsync($"until [ $({Carrier}) = 1 ]; do sleep 0.1; done")).EnsureSuccess();
    }

    [Fact]
    public async Task Process_left_behind_leaves_no_zombie()
    {
        Guest guest = await fixture.GuestAsync();

        GuestResult result = await guest.RunAsync("sleep 0.1 >/dev/null 2>&1 & echo $!");

        // It is gone in the end, also for kill.
        (await guest.RunAsync($"while kill -0 {result.EnsureSuccess().Output.Trim()}; do sleep 0.1; done")).EnsureSuccess();
    }

    [Fact]
    public async Task Guest_is_what_it_should_be()
    {
        Guest guest = await fixture.GuestAsync();

        GuestResult result = await guest.RunAsync("uname -r; nproc; cat /proc/sys/kernel/hung_task_timeout_secs; ls /dev/loop-control /dev/fuse");

        Assert.Matches(@"^6\.\S+\n1\n30\n/dev/fuse\n/dev/loop-control\n$", result.EnsureSuccess().Output);
        guest.AssertHealthy();
    }

    [Fact]
    public async Task Deadline_tells_what_a_hung_command_has_said()
    {
        Guest guest = await fixture.GuestAsync();

        GuestTimeoutException error = await Assert.ThrowsAsync<GuestTimeoutException>(
            () => guest.RunAsync("echo so far; sleep 1000", TimeSpan.FromSeconds(2)));

        Assert.Contains("so far", error.Message, StringComparison.Ordinal);
        Assert.Contains("Show Blocked State", error.Message, StringComparison.Ordinal);
        (await guest.RunAsync("true")).EnsureSuccess();
    }

    [Fact]
    public async Task Panic_is_told_and_ends_the_guest()
    {
        int qemu;
        await using (Guest guest = await Guest.StartAsync(new GuestOptions { MemoryMiB = 192, KernelArguments = "nbdfuse.test=1" }))
        {
            qemu = guest.QemuId;
            GuestResult facts = await guest.RunAsync("cat /proc/cmdline; awk '/MemTotal/ { print ($2 < 192 * 1024) }' /proc/meminfo");
            Assert.EndsWith(" nbdfuse.test=1\n1\n", facts.EnsureSuccess().Output, StringComparison.Ordinal);
            GuestDiedException error = await Assert.ThrowsAsync<GuestDiedException>(
                () => guest.RunAsync("echo 1 >/proc/sys/kernel/sysrq; echo c >/proc/sysrq-trigger; sleep 1000"));

            Assert.Contains("Kernel panic", error.Message, StringComparison.Ordinal);
            Assert.Contains(guest.Problems, static problem => problem.Kind == KernelProblemKind.Panic);
            Assert.False(guest.IsRunning);
            Assert.ThrowsAny<Exception>(() => guest.AssertHealthy());
            await Assert.ThrowsAsync<GuestDiedException>(() => guest.RunAsync("true"));
        }

        Assert.False(Directory.Exists($"/proc/{qemu}"));
    }

    [Fact]
    public async Task Power_off_is_clean_and_leaves_no_process()
    {
        await using Guest guest = await Guest.StartAsync();
        Assert.Contains("qemu-system", await File.ReadAllTextAsync($"/proc/{guest.QemuId}/cmdline"), StringComparison.Ordinal);

        await guest.ShutDownAsync();

        Assert.False(Directory.Exists($"/proc/{guest.QemuId}"));
    }

    [Fact]
    public async Task Disposing_ends_a_guest_that_hangs()
    {
        Guest guest = await Guest.StartAsync();
        int qemu = guest.QemuId;
        Task<GuestResult> hanging = guest.RunAsync("sleep 1000", Timeout.InfiniteTimeSpan);

        await guest.DisposeAsync();

        await Assert.ThrowsAsync<GuestDiedException>(() => hanging);
        Assert.False(Directory.Exists($"/proc/{qemu}"));
    }

    /// <summary>A guest with nothing special.</summary>
    public sealed class PlainGuest() : GuestFixture(new GuestOptions());
}
