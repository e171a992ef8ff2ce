using System.Collections;
using System.Runtime.InteropServices;

namespace NbdFuse.Native;

/// <summary>The native side of one posix_spawn: argument vectors, file actions, attributes.</summary>
internal sealed unsafe class SpawnRequest : IDisposable
{
    // glibc x86-64: attributes 336 bytes, file actions 80; other libraries less.
    private const int OpaqueSize = 1024;
    private const int SignalSetSize = 128;
    private const short SetSignalDefaults = 0x04;
    private const short SetSignalMask = 0x08;
    private const short SetSession = 0x80;
    private const int SignalKill = 9;
    private const int SignalStop = 19;

    private static readonly delegate* unmanaged<void*, int, int> AddCloseFrom = FindCloseFrom();

    private readonly string _program;
    private readonly List<nint> _strings = [];
    private readonly List<int> _duplicates = [];
    private readonly void* _actions;
    private readonly void* _attributes;
    private readonly void* _signals;
    private readonly byte** _argv;
    private readonly byte** _environment;

    internal SpawnRequest(SpawnOptions options)
    {
        if (options.Argv.Length == 0 || options.Argv[0].Length == 0)
        {
            throw new ArgumentException("There is no program to start.", nameof(options));
        }

        _program = options.Argv[0];
        // SAFETY: all native memory of this object is freed in Dispose, after posix_spawn has returned and so copied it.
        _actions = NativeMemory.AllocZeroed(OpaqueSize);
        _attributes = NativeMemory.AllocZeroed(OpaqueSize);
        _signals = NativeMemory.AllocZeroed(SignalSetSize);
        Libc.posix_spawn_file_actions_init(_actions);
        Libc.posix_spawnattr_init(_attributes);
        _argv = Vector(options.Argv);
        _environment = Vector(MergeEnvironment(options.Environment));
        try
        {
            SetAttributes(options.NewSession);
            AddDescriptors(options.Descriptors);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public void Dispose()
    {
        Libc.posix_spawn_file_actions_destroy(_actions);
        Libc.posix_spawnattr_destroy(_attributes);
        NativeMemory.Free(_actions);
        NativeMemory.Free(_attributes);
        NativeMemory.Free(_signals);
        NativeMemory.Free(_argv);
        NativeMemory.Free(_environment);
        foreach (nint text in _strings)
        {
            Marshal.FreeCoTaskMem(text);
        }

        foreach (int fd in _duplicates)
        {
            Posix.Close(fd);
        }
    }

    internal int Run()
    {
        int pid;
        Check(Libc.posix_spawnp(&pid, _argv[0], _actions, _attributes, _argv, _environment), $"start {_program}");
        return pid;
    }

    internal void Exec()
    {
        Libc.execve(_argv[0], _argv, _environment);

        // It comes back only when it failed.
        throw new PosixException($"start {_program}", Marshal.GetLastSystemError());
    }

    private static List<string> MergeEnvironment(IReadOnlyList<string>? changes)
    {
        Dictionary<string, string> merged = new(StringComparer.Ordinal);
        foreach (DictionaryEntry entry in Environment.GetEnvironmentVariables())
        {
            merged[(string)entry.Key] = (string?)entry.Value ?? string.Empty;
        }

        foreach (string change in changes ?? [])
        {
            int equals = change.IndexOf('=');
            if (equals < 0)
            {
                merged.Remove(change);
            }
            else
            {
                merged[change[..equals]] = change[(equals + 1)..];
            }
        }

        return merged.Select(pair => $"{pair.Key}={pair.Value}").ToList();
    }

    private static void Check(int error, string what)
    {
        // posix_spawn functions return the error number itself.
        if (error != 0)
        {
            throw new PosixException(what, error);
        }
    }

    private static delegate* unmanaged<void*, int, int> FindCloseFrom()
    {
        // glibc 2.34; musl has none.
        return NativeLibrary.TryLoad("libc", typeof(SpawnRequest).Assembly, null, out nint library)
            && NativeLibrary.TryGetExport(library, "posix_spawn_file_actions_addclosefrom_np", out nint address)
                ? (delegate* unmanaged<void*, int, int>)address
                : null;
    }

    private byte** Vector(IReadOnlyList<string> texts)
    {
        byte** vector = (byte**)NativeMemory.AllocZeroed((nuint)texts.Count + 1, (nuint)sizeof(byte*));
        for (int i = 0; i < texts.Count; i++)
        {
            nint text = Marshal.StringToCoTaskMemUTF8(texts[i]);
            _strings.Add(text);
            vector[i] = (byte*)text;
        }

        return vector;
    }

    private void SetAttributes(bool newSession)
    {
        // The empty mask first: a runtime thread may have signals blocked.
        Check(Libc.posix_spawnattr_setsigmask(_attributes, _signals), "set the signal mask");

        // The runtime ignores SIGPIPE, and ignored signals stay ignored across exec.
        ulong all = 0;
        for (int signal = 1; signal <= 31; signal++)
        {
            if (signal is not SignalKill and not SignalStop)
            {
                all |= 1ul << (signal - 1);
            }
        }

        *(ulong*)_signals = all;
        Check(Libc.posix_spawnattr_setsigdefault(_attributes, _signals), "set the signal dispositions");
        short flags = (short)(SetSignalDefaults | SetSignalMask | (newSession ? SetSession : 0));
        Check(Libc.posix_spawnattr_setflags(_attributes, flags), "set the spawn flags");
    }

    private void AddDescriptors((int ParentFd, int ChildFd)[] descriptors)
    {
        int highest = 2;
        foreach ((_, int childFd) in descriptors)
        {
            ArgumentOutOfRangeException.ThrowIfNegative(childFd);
            highest = Math.Max(highest, childFd);
        }

        // All sources move above all targets first: otherwise a dup2 could overwrite a source that is still needed.
        foreach ((int parentFd, int childFd) in descriptors)
        {
            int duplicate = PosixException.Check(Posix.DupAbove(parentFd, highest + 1), $"duplicate descriptor {parentFd}");
            _duplicates.Add(duplicate);
            Check(Libc.posix_spawn_file_actions_adddup2(_actions, duplicate, childFd), "pass a descriptor");
        }

        // Our own descriptors are close-on-exec, but those that we inherited, or a library opened, may not be.
        for (int fd = 3; fd <= highest; fd++)
        {
            if (!Array.Exists(descriptors, pair => pair.ChildFd == fd))
            {
                Check(Libc.posix_spawn_file_actions_addclose(_actions, fd), "close a descriptor");
            }
        }

        if (AddCloseFrom != null)
        {
            Check(AddCloseFrom(_actions, highest + 1), "close the other descriptors");
            return;
        }

        foreach (string entry in Directory.EnumerateFileSystemEntries("/proc/self/fd"))
        {
            if (int.TryParse(Path.GetFileName(entry), out int fd) && fd > highest)
            {
                Check(Libc.posix_spawn_file_actions_addclose(_actions, fd), "close a descriptor");
            }
        }
    }
}
