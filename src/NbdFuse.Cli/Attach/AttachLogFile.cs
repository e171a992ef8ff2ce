using NbdFuse.Native;

namespace NbdFuse.Cli;

/// <summary>A file that never grows beyond a bound: when it is full it becomes the old one, and a new one begins.</summary>
/// <param name="path">The file.</param>
/// <param name="maximum">Bytes after which a new one begins, so that both together take twice as much.</param>
internal sealed class AttachLogFile(string path, long maximum = AttachLogFile.DefaultMaximum)
{
    /// <summary>Usual bound: 128 KiB.</summary>
    public const long DefaultMaximum = 128 * 1024;

    // rw for the owner.
    private const int Private = 0x180;

    private FileDescriptor? _file;
    private long _length;

    /// <summary>Appends.</summary>
    /// <param name="bytes">Whole lines.</param>
    /// <exception cref="PosixException">It could not.</exception>
    public void Write(ReadOnlySpan<byte> bytes)
    {
        if (_file is null || _length + bytes.Length > maximum)
        {
            Open();
        }

        while (!bytes.IsEmpty)
        {
            int count = PosixException.Check(Posix.Write(_file!.Value, bytes), path);
            _length += count;
            bytes = bytes[count..];
        }
    }

    private void Open()
    {
        if (_file is not null)
        {
            _file.Dispose();
            _file = null;
            File.Move(path, path + ".old", overwrite: true);
        }

        FileDescriptor file = FileDescriptor.OwnOrThrow(
            Posix.Open(path, OpenFlags.WriteOnly | OpenFlags.Create | OpenFlags.Append, Private), path);
        _length = Posix.Fstat(file.Value, out FileStatus status) < 0 ? 0 : status.Size;
        _file = file;
    }
}
