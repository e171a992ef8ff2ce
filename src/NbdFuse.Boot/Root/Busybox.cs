using NbdFuse.Native;

namespace NbdFuse.Boot;

/// <summary>
/// Runs busybox. What touches the device that this process serves must be done by another one: a thread of ours that waited for our
/// own answers could not be killed.
/// </summary>
internal static class Busybox
{
    // Of our own where a framework's initramfs has another one, with fewer applets perhaps.
    private const string Own = "/etc/nbdfuse/bin/busybox";
    private const string Usual = "/bin/busybox";
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    /// <summary>Where it is.</summary>
    /// <param name="root">Root directory of the initramfs; empty for /.</param>
    public static string PathBelow(string root) => File.Exists(root + Own) ? root + Own : root + Usual;

    /// <summary>Runs an applet to its end.</summary>
    /// <param name="words">Its name, and its arguments.</param>
    public static ProgramOutput Run(params string[] words)
    {
        try
        {
            return ProgramOutput.Run(Patience, [PathBelow(string.Empty), .. words]);
        }
        catch (PosixException e)
        {
            throw new BootException($"{PathBelow(string.Empty)} cannot be run: {e.Message}", e);
        }
    }

    /// <summary>Runs an applet, and fails when it does.</summary>
    /// <param name="what">What for, for the message.</param>
    /// <param name="words">Its name, and its arguments.</param>
    /// <exception cref="BootException">It ended with an error; what it said is on the console.</exception>
    public static void Check(string what, params string[] words)
    {
        int code = Run(words).ExitCode;
        if (code != 0)
        {
            throw new BootException($"cannot {what}: '{string.Join(' ', words)}' ended with exit code {code}");
        }
    }

    /// <summary>Loads modules; that one is not there, or built in, is no error.</summary>
    /// <param name="names">Their names.</param>
    public static void LoadModules(params string[] names)
    {
        if (names.Length > 0)
        {
            Run(["modprobe", "-qab", .. names]);
        }
    }
}
