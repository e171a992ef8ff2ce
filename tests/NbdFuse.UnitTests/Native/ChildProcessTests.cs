using System.Text;
using NbdFuse.Native;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.UnitTests.Native;

public class ChildProcessTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    [Fact]
    public void A_child_reports_its_exit_code_and_its_signal()
    {
        using ChildProcess exits = Shell("exit 7");
        Assert.True(exits.WaitForExit(Patience));
        Assert.Equal(7, exits.ExitCode);
        Assert.Equal(-Errno.ESRCH, exits.Kill(15));

        using ChildProcess sleeps = Shell("exec sleep 600");
        Assert.False(sleeps.WaitForExit(TimeSpan.Zero));
        Assert.Null(sleeps.ExitCode);
        Assert.Equal(0, sleeps.Kill(15));
        Assert.True(sleeps.WaitForExit(Patience));
        Assert.Equal(128 + 15, sleeps.ExitCode);
    }

    [Fact]
    public void A_child_that_dies_with_its_parent_outlives_the_thread_that_asked_for_it()
    {
        Requires.Command("setpriv");
        ChildProcess? child = null;
        Thread asks = new(() => child = ChildProcess.Spawn(new SpawnOptions { Argv = ["setpriv", "--pdeathsig", "KILL", "sleep", "600"] }));
        asks.Start();
        asks.Join();
        using ChildProcess sleeps = child!;
        try
        {
            // The kernel sends PR_SET_PDEATHSIG when the thread is gone, just after Join saw its managed end.
            Assert.False(sleeps.WaitForExit(TimeSpan.FromMilliseconds(500)));
        }
        finally
        {
            sleeps.Kill(9);
            Assert.True(sleeps.WaitForExit(Patience));
        }
    }

    [Fact]
    public async Task Waiting_can_be_awaited_and_abandoned()
    {
        using ChildProcess child = Shell("exec sleep 600");
        using CancellationTokenSource cancellation = new();
        Task<int> abandoned = child.WaitAsync(cancellation.Token);
        await cancellation.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => abandoned);
        Task<int> wait = child.WaitAsync();
        child.Kill(9);
        Assert.Equal(128 + 9, await wait.WaitAsync(Patience));
    }

    [Fact]
    public void A_missing_program_is_an_error_of_the_start()
    {
        PosixException error = Assert.Throws<PosixException>(
            () => ChildProcess.Spawn(new SpawnOptions { Argv = ["nbdfuse-no-such-program"] }));
        Assert.Equal(Errno.ENOENT, error.Errno);
        Assert.Contains("nbdfuse-no-such-program", error.Message);
    }

    [Fact]
    public void The_environment_is_ours_with_the_changes()
    {
        string output = Output(
            "echo \"$NBDFUSE_A|${HOME-none}|${PATH:+path}\"",
            environment: ["NBDFUSE_A=x=y z", "HOME"]);
        Assert.Equal("x=y z|none|path\n", output);
    }

    [Fact]
    public void Only_the_listed_descriptors_and_the_standard_three_are_inherited()
    {
        // One that is deliberately not close-on-exec, as an embedding library may have left it.
        using FileDescriptor leaky = FileDescriptor.OwnOrThrow(Posix.Open("/dev/null", OpenFlags.ReadOnly), "open");
        Posix.SetCloseOnExec(leaky.Value, false);
        using FileDescriptor high = FileDescriptor.OwnOrThrow(Posix.DupAbove(leaky.Value, 300), "duplicate");
        Posix.SetCloseOnExec(high.Value, false);
        using FileDescriptor passed = FileDescriptor.OwnOrThrow(Posix.Open("/dev/zero", OpenFlags.ReadOnly), "open");

        // The shell's own glob opens one descriptor while it lists; readlink of each filters it by being gone.
        string output = Output(
            "for f in /proc/self/fd/*; do n=${f##*/}; [ -e /proc/$$/fd/$n ] && echo $n $(readlink /proc/$$/fd/$n); done | grep -v pipe: | cut -d' ' -f1",
            (passed.Value, 7));
        string[] numbers = output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Contains("7", numbers);
        Assert.DoesNotContain(leaky.Value == 7 ? "none" : leaky.Value.ToString(), numbers);
        Assert.DoesNotContain("300", numbers);
        Assert.All(numbers, number => Assert.True(int.Parse(number) is <= 2 or 7, $"descriptor {number} leaked"));
    }

    [Fact]
    public void Descriptors_can_swap_their_numbers()
    {
        PosixException.Check(Posix.Pipe2(out int firstReader, out int firstWriter), "pipe");
        PosixException.Check(Posix.Pipe2(out int secondReader, out int secondWriter), "pipe");
        using FileDescriptor a = FileDescriptor.Own(firstReader);
        using FileDescriptor b = FileDescriptor.Own(firstWriter);
        using FileDescriptor c = FileDescriptor.Own(secondReader);
        using FileDescriptor d = FileDescriptor.Own(secondWriter);
        using ChildProcess child = ChildProcess.Spawn(new SpawnOptions
        {
            Argv = ["bash", "-c", $"echo one >&{firstWriter}; echo two >&{secondWriter}"],
            Descriptors = [(firstWriter, secondWriter), (secondWriter, firstWriter)],
        });
        Assert.True(child.WaitForExit(Patience));
        Assert.Equal(0, child.ExitCode);
        b.Dispose();
        d.Dispose();
        Assert.Equal("two\n", ReadAll(firstReader));
        Assert.Equal("one\n", ReadAll(secondReader));
    }

    [Fact]
    public void The_child_has_default_signals_although_the_runtime_ignores_SIGPIPE()
    {
        // SigIgn and SigBlk are bit masks; SIGPIPE is 13.
        string output = Output("grep -E 'SigIgn|SigBlk' /proc/self/status");
        Assert.Equal(2, output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Length);
        foreach (string line in output.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            ulong mask = Convert.ToUInt64(line.Split('\t')[1], 16);
            Assert.Equal(0ul, mask & 0x7FFFFFFF);
        }
    }

    [Fact]
    public void A_new_session_is_led_by_the_child()
    {
        string output = Output("read -r line </proc/self/stat; set -- ${line##*) }; echo $4 $$", newSession: true);
        string[] words = output.Split([' ', '\n'], StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(words[1], words[0]);
    }

    [Fact]
    public void Socket_activation_names_the_child_itself()
    {
        int result = Posix.SocketPair(SocketConstants.AF_UNIX, SocketConstants.SOCK_STREAM, out int ours, out int theirs);
        PosixException.Check(result, "socketpair");
        using FileDescriptor oursOwner = FileDescriptor.Own(ours);
        using FileDescriptor theirsOwner = FileDescriptor.Own(theirs);
        SpawnOptions options = SocketActivation.Options(
            ["sh", "-c", "echo \"$LISTEN_PID $$ $LISTEN_FDS ${LISTEN_FDNAMES-none} $1\" >&3", "sh", "an argument"], [theirs]);
        using ChildProcess child = ChildProcess.Spawn(options);
        Assert.True(child.WaitForExit(Patience));
        theirsOwner.Dispose();
        string output = ReadAll(ours);
        Assert.Equal($"{child.Pid} {child.Pid} 1 none an argument\n", output);
    }

    private static ChildProcess Shell(string script) => ChildProcess.Spawn(new SpawnOptions { Argv = ["sh", "-c", script] });

    private static string Output(string script, (int, int)? descriptor = null, string[]? environment = null, bool newSession = false)
    {
        PosixException.Check(Posix.Pipe2(out int reader, out int writer), "pipe");
        using FileDescriptor readerOwner = FileDescriptor.Own(reader);
        using FileDescriptor writerOwner = FileDescriptor.Own(writer);
        using ChildProcess child = ChildProcess.Spawn(new SpawnOptions
        {
            Argv = ["sh", "-c", script],
            Environment = environment,
            Descriptors = descriptor is { } extra ? [(writer, 1), extra] : [(writer, 1)],
            NewSession = newSession,
        });
        writerOwner.Dispose();
        string output = ReadAll(reader);
        Assert.True(child.WaitForExit(Patience));
        return output;
    }

    private static string ReadAll(int fd)
    {
        StringBuilder text = new();
        byte[] buffer = new byte[4096];
        int count;
        while ((count = PosixException.Check(Posix.Read(fd, buffer), "read")) > 0)
        {
            text.Append(Encoding.UTF8.GetString(buffer, 0, count));
        }

        return text.ToString();
    }
}
