using NbdFuse.Native;

namespace NbdFuse.Boot;

/// <summary>
/// Runs busybox. What touches the device that this process serves must be done by another one: a thread of ours that waited for our
/// own answers could not be killed.
/// </summary>
internal static class Busybox
{
    private const string Path = "/bin/busybox";
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    /// <summary>Runs an applet to its end.</summary>
    /// <param name="words">Its name, and its arguments.</param>
    public static ProgramOutput Run(params string[] words)
    {
        try
        {
            return ProgramOutput.Run(Patience, [Path, .. words]);
        }
        catch (PosixException e)
        {
            throw new BootException($"{Path} cannot be run: {e.Message}", e);
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
