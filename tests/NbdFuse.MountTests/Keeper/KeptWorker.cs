using System.Globalization;
using NbdFuse.Native;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>The process that serves a file under a keeper, as a test sees and kills it.</summary>
internal static class KeptWorker
{
    /// <summary>SIGKILL.</summary>
    public const int Kill = 9;

    private const string Serves = " serves the file after ";

    /// <summary>A keeper that does as on Linux before 6.9: the next process finds what is in flight by itself.</summary>
    public const string NoResend = "NBDFUSE_NO_RESEND";

    /// <summary>Mounts with a keeper.</summary>
    /// <param name="uri">The export.</param>
    /// <param name="resends">Whether the kernel is asked to send again what a dead process had taken.</param>
    /// <param name="options">More options.</param>
    public static Task<MountedNbdfuse> StartAsync(string uri, bool resends, params string[] options) =>
        MountedNbdfuse.StartAsync(new MountStart
        {
            Mode = [uri],
            Options = ["--keeper", .. options],
            Prefix = resends ? [] : ["env", $"{NoResend}=1"],
        });

    /// <summary>How often another process has taken the file over.</summary>
    /// <param name="mount">The mount; its process is the keeper.</param>
    public static int TakeOvers(MountedNbdfuse mount) =>
        mount.Error.Split('\n').Count(line => line.Contains(Serves, StringComparison.Ordinal));

    /// <summary>The worker at present.</summary>
    /// <param name="keeper">Process id of the keeper.</param>
    /// <returns>Its process id, or null between two of them.</returns>
    public static int? Find(int keeper)
    {
        // Only what belongs to the keeper is looked at: a process of somebody else may hang, and hold up who asks about it.
        try
        {
            foreach (string task in Directory.GetDirectories($"/proc/{keeper}/task"))
            {
                foreach (string child in File.ReadAllText(Path.Combine(task, "children")).Split(' ', StringSplitOptions.RemoveEmptyEntries))
                {
                    int pid = int.Parse(child, CultureInfo.InvariantCulture);
                    if (IsAlive(pid))
                    {
                        return pid;
                    }
                }
            }
        }
        catch (IOException)
        {
            // It has just ended.
            return null;
        }

        return null;
    }

    /// <summary>Waits for a worker.</summary>
    /// <param name="mount">The mount.</param>
    public static async Task<int> WaitAsync(MountedNbdfuse mount)
    {
        await Deadline.Until(() => mount.HasExited || Find(mount.Id) is not null, "a worker");
        Assert.False(mount.HasExited, mount.Error);
        return Find(mount.Id)!.Value;
    }

    /// <summary>Kills the worker, and waits until another one serves.</summary>
    /// <param name="mount">The mount.</param>
    /// <param name="signal">The signal.</param>
    public static async Task KillAsync(MountedNbdfuse mount, int signal = Kill)
    {
        int before = TakeOvers(mount);
        Posix.Kill(await WaitAsync(mount), signal);
        await WaitForTakeOverAsync(mount, before);
    }

    /// <summary>Waits until another worker serves.</summary>
    /// <param name="mount">The mount.</param>
    /// <param name="before">Take-overs before.</param>
    public static async Task WaitForTakeOverAsync(MountedNbdfuse mount, int before)
    {
        await Deadline.Until(() => mount.HasExited || TakeOvers(mount) > before, "another worker to serve");
        Assert.False(mount.HasExited, mount.Error);
    }

    /// <summary>Whether a process exists and is no zombie.</summary>
    /// <param name="pid">Its id.</param>
    public static bool IsAlive(int pid)
    {
        try
        {
            string stat = File.ReadAllText($"/proc/{pid}/stat");
            return stat[stat.LastIndexOf(')') + 2] != 'Z';
        }
        catch (IOException)
        {
            return false;
        }
    }
}
