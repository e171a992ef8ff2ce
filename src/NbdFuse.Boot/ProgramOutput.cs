using System.Text;
using NbdFuse.Native;

namespace NbdFuse.Boot;

/// <summary>A program that has been run, and what it wrote to standard output. Its standard error is ours.</summary>
/// <param name="ExitCode">0 to 255, or 128 and the number of the signal that ended it; -1 when it did not end in time.</param>
/// <param name="Content">Standard output.</param>
public sealed record ProgramOutput(int ExitCode, byte[] Content)
{
    private const int MaximumBytes = 64 << 20;
    private const int SignalKill = 9;

    /// <summary>Standard output as text, without the last line feed.</summary>
    public string Text => Encoding.UTF8.GetString(Content).TrimEnd('\n');

    /// <summary>Runs a program to its end.</summary>
    /// <param name="patience">How long it may take after it has closed its output.</param>
    /// <param name="argv">Program and arguments.</param>
    /// <exception cref="PosixException">It cannot be started.</exception>
    public static ProgramOutput Run(TimeSpan patience, params string[] argv)
    {
        PosixException.Check(Posix.Pipe2(out int readEnd, out int writeEnd), "make a pipe");
        using FileDescriptor reader = FileDescriptor.Own(readEnd);
        using FileDescriptor writer = FileDescriptor.Own(writeEnd);
        using FileDescriptor nothing = FileDescriptor.OwnOrThrow(Posix.Open("/dev/null", OpenFlags.ReadWrite), "/dev/null");
        using ChildProcess child = ChildProcess.Spawn(new SpawnOptions
        {
            Argv = argv,
            Descriptors = [(nothing.Value, 0), (writer.Value, 1)],
        });
        writer.Dispose();
        using var content = new MemoryStream();
        byte[] buffer = new byte[64 * 1024];
        while (content.Length < MaximumBytes)
        {
            int count = Posix.Read(reader.Value, buffer);
            if (count <= 0)
            {
                break;
            }

            content.Write(buffer, 0, count);
        }

        reader.Dispose();
        if (child.WaitForExit(patience))
        {
            return new ProgramOutput(child.ExitCode ?? -1, content.ToArray());
        }

        child.Kill(SignalKill);
        return new ProgramOutput(-1, content.ToArray());
    }
}
