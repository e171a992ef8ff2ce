using System.Globalization;
using System.Text;
using NbdFuse.Native;

namespace NbdFuse.Fuse;

/// <summary>Runs fusermount3, the set-user-id helper that mounts for users without privileges.</summary>
internal static class Fusermount
{
    private const string Program = "fusermount3";
    private const string Remedy = "install it with 'apt install fuse3' (its package is called fuse3 elsewhere too)";

    // The number under which the helper finds its end of the socket.
    private const int ChildSocket = 3;
    private const int LongestMessage = 4096;

    // A mount that other mounts propagate to may take a while, a helper that hangs shall not hang us.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    /// <summary>Mounts.</summary>
    /// <param name="path">Absolute path of the mount point.</param>
    /// <param name="options">Options, separated by commas.</param>
    /// <param name="autoUnmount">Keep the helper: it unmounts when its socket closes.</param>
    /// <returns>/dev/fuse, and with <paramref name="autoUnmount"/> the socket that keeps the mount.</returns>
    public static (FileDescriptor Device, FileDescriptor? Keeper) Mount(string path, string options, bool autoUnmount)
    {
        PosixException.Check(
            Posix.SocketPair(SocketConstants.AF_UNIX, SocketConstants.SOCK_STREAM | SocketConstants.SOCK_CLOEXEC, out int ours, out int theirs),
            "create a socket pair");
        FileDescriptor socket = FileDescriptor.Own(ours);
        FileDescriptor? kept = null;
        try
        {
            ChildProcess child;
            FileDescriptor errors;
            using (FileDescriptor childSocket = FileDescriptor.Own(theirs))
            {
                child = Start(
                    ["-o", options, "--", path], $"_FUSE_COMMFD={ChildSocket}", (childSocket.Value, ChildSocket), out errors);
            }

            using (child)
            using (errors)
            {
                FileDescriptor? device = Receive(socket);
                if (device is null)
                {
                    string text = ReadAll(errors);
                    child.WaitForExit(Patience);
                    throw new FuseException($"{path}: cannot mount: {Explain(text, child.ExitCode)}");
                }

                if (autoUnmount)
                {
                    kept = socket;
                }
                else
                {
                    child.WaitForExit(Patience);
                }

                return (device, kept);
            }
        }
        finally
        {
            if (kept is null)
            {
                socket.Dispose();
            }
        }
    }

    /// <summary>Unmounts.</summary>
    /// <param name="path">Absolute path of the mount point.</param>
    /// <param name="lazy">Out of the tree now, gone with its last user.</param>
    /// <exception cref="FuseException">It could not; <see cref="FuseException.Errno"/> is EBUSY when the file is in use.</exception>
    public static void Unmount(string path, bool lazy)
    {
        string[] arguments = lazy ? ["-u", "-z", "--", path] : ["-u", "--", path];
        using ChildProcess child = Start(arguments, null, null, out FileDescriptor errors);
        using (errors)
        {
            string text = ReadAll(errors);
            if (!child.WaitForExit(Patience))
            {
                throw new FuseException($"{path}: {Program} does not end; unmount with '{Program} -u -z {path}'", Errno.EBUSY);
            }

            if (child.ExitCode != 0)
            {
                bool busy = text.Contains("busy", StringComparison.OrdinalIgnoreCase);
                string remedy = busy ? $"; close what uses it, or unmount with '{Program} -u -z {path}'" : string.Empty;
                throw new FuseException(
                    $"{path}: cannot unmount: {Explain(text, child.ExitCode)}{remedy}", busy ? Errno.EBUSY : Errno.EPERM);
            }
        }
    }

    private static ChildProcess Start(
        string[] arguments, string? variable, (int ParentFd, int ChildFd)? socket, out FileDescriptor errors)
    {
        PosixException.Check(Posix.Pipe2(out int reader, out int writer), "create a pipe");
        errors = FileDescriptor.Own(reader);
        using FileDescriptor childErrors = FileDescriptor.Own(writer);
        try
        {
            return ChildProcess.Spawn(new SpawnOptions
            {
                Argv = [Program, .. arguments],
                Environment = variable is null ? ["LC_ALL=C"] : ["LC_ALL=C", variable],
                Descriptors = socket is { } pair ? [(writer, 2), pair] : [(writer, 2)],
            });
        }
        catch (PosixException failure)
        {
            errors.Dispose();
            throw failure.Errno == Errno.ENOENT
                ? new FuseException($"{Program} was not found: without root it is needed to mount; {Remedy}", failure.Errno)
                : new FuseException($"cannot run {Program}: {failure.Message}", failure.Errno);
        }
    }

    private static FileDescriptor? Receive(FileDescriptor socket)
    {
        Span<byte> data = stackalloc byte[1];
        Span<int> descriptors = stackalloc int[1];
        int result = Posix.RecvWithFds(socket.Value, data, descriptors, out int count);
        return result > 0 && count == 1 ? FileDescriptor.Own(descriptors[0]) : null;
    }

    private static string ReadAll(FileDescriptor pipe)
    {
        byte[] text = new byte[LongestMessage];
        int length = 0;
        while (length < text.Length)
        {
            int result = Posix.Read(pipe.Value, text.AsSpan(length));
            if (result <= 0)
            {
                break;
            }

            length += result;
        }

        return Encoding.UTF8.GetString(text, 0, length);
    }

    // The helper prefixes its lines with its own name or path, and ends them with line feeds.
    private static string Explain(string text, int? exitCode)
    {
        string line = string.Join("; ", text.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries));
        string reason = line.Length != 0 ? line : string.Create(CultureInfo.InvariantCulture, $"{Program} failed with exit code {exitCode}");
        if (reason.Contains("user_allow_other", StringComparison.Ordinal))
        {
            reason += "; add the line 'user_allow_other' to /etc/fuse.conf, or leave allow_other and allow_root out";
        }
        else if (reason.Contains("/dev/fuse", StringComparison.Ordinal) && reason.Contains("not found", StringComparison.Ordinal))
        {
            reason += "; load the driver with 'modprobe fuse'";
        }

        return reason;
    }
}
