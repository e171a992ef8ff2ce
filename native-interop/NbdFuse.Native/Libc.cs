using System.Runtime.InteropServices;

namespace NbdFuse.Native;

/// <summary>
/// The C library's entry points, one to one. Variadic functions (open, fcntl, ioctl, prctl, syscall) are declared with
/// fixed integer arguments: on Linux x86-64 and arm64 those travel in the same registers either way.
/// Errors are left in errno; the runtime keeps it across the return from native code, so that
/// <see cref="Marshal.GetLastSystemError"/> right after a failure is right, and success costs nothing.
/// </summary>
internal static unsafe partial class Libc
{
    private const string Name = "libc";

    [LibraryImport(Name)]
    internal static partial int open(byte* path, int flags, int mode);

    [LibraryImport(Name)]
    internal static partial int close(int fd);

    [LibraryImport(Name)]
    internal static partial nint read(int fd, void* buffer, nuint count);

    [LibraryImport(Name)]
    internal static partial nint write(int fd, void* buffer, nuint count);

    [LibraryImport(Name)]
    internal static partial nint readv(int fd, IoVector* vectors, int count);

    [LibraryImport(Name)]
    internal static partial nint writev(int fd, IoVector* vectors, int count);

    [LibraryImport(Name)]
    internal static partial nint pread(int fd, void* buffer, nuint count, long offset);

    [LibraryImport(Name)]
    internal static partial nint pwrite(int fd, void* buffer, nuint count, long offset);

    [LibraryImport(Name)]
    internal static partial int fsync(int fd);

    [LibraryImport(Name)]
    internal static partial int fdatasync(int fd);

    [LibraryImport(Name)]
    internal static partial int ftruncate(int fd, long length);

    [LibraryImport(Name)]
    internal static partial int fallocate(int fd, int mode, long offset, long length);

    [LibraryImport(Name)]
    internal static partial long lseek(int fd, long offset, int whence);

    [LibraryImport(Name)]
    internal static partial int statx(int dirfd, byte* path, int flags, uint mask, StatxBuffer* buffer);

    [LibraryImport(Name)]
    internal static partial int pipe2(int* fds, int flags);

    [LibraryImport(Name)]
    internal static partial nint splice(int fdIn, long* offsetIn, int fdOut, long* offsetOut, nuint length, uint flags);

    [LibraryImport(Name)]
    internal static partial int fcntl(int fd, int command, nint argument);

    [LibraryImport(Name)]
    internal static partial int dup(int fd);

    [LibraryImport(Name)]
    internal static partial int poll(PollDescriptor* entries, nuint count, int timeout);

    [LibraryImport(Name)]
    internal static partial int eventfd(uint initial, int flags);

    [LibraryImport(Name)]
    internal static partial uint getuid();

    [LibraryImport(Name)]
    internal static partial uint geteuid();

    [LibraryImport(Name)]
    internal static partial uint getgid();

    [LibraryImport(Name)]
    internal static partial uint getegid();

    [LibraryImport(Name)]
    internal static partial int getpid();

    [LibraryImport(Name)]
    internal static partial int gettid();

    [LibraryImport(Name)]
    internal static partial uint umask(uint mask);

    [LibraryImport(Name)]
    internal static partial int chmod(byte* path, uint mode);

    [LibraryImport(Name)]
    internal static partial int unlink(byte* path);

    [LibraryImport(Name)]
    internal static partial int chroot(byte* path);

    [LibraryImport(Name)]
    internal static partial int dup3(int oldFd, int newFd, int flags);

    [LibraryImport(Name)]
    internal static partial int mkdir(byte* path, uint mode);

    [LibraryImport(Name)]
    internal static partial int rmdir(byte* path);

    [LibraryImport(Name)]
    internal static partial int mknod(byte* path, uint mode, ulong device);

    [LibraryImport(Name)]
    internal static partial nint readlink(byte* path, byte* buffer, nuint size);

    [LibraryImport(Name)]
    internal static partial int sched_yield();

    [LibraryImport(Name)]
    internal static partial int ioctl(int fd, nuint request, nint argument);

    [LibraryImport(Name)]
    internal static partial nint syscall(nint number, nint a, nint b, nint c, nint d, nint e, nint f);

    [LibraryImport(Name)]
    internal static partial int socket(int family, int type, int protocol);

    [LibraryImport(Name)]
    internal static partial int socketpair(int family, int type, int protocol, int* fds);

    [LibraryImport(Name)]
    internal static partial int connect(int fd, byte* address, uint length);

    [LibraryImport(Name)]
    internal static partial int bind(int fd, byte* address, uint length);

    [LibraryImport(Name)]
    internal static partial int listen(int fd, int backlog);

    [LibraryImport(Name)]
    internal static partial int accept4(int fd, byte* address, uint* length, int flags);

    [LibraryImport(Name)]
    internal static partial int getsockname(int fd, byte* address, uint* length);

    [LibraryImport(Name)]
    internal static partial int getpeername(int fd, byte* address, uint* length);

    [LibraryImport(Name)]
    internal static partial int getsockopt(int fd, int level, int name, void* value, uint* length);

    [LibraryImport(Name)]
    internal static partial int setsockopt(int fd, int level, int name, void* value, uint length);

    [LibraryImport(Name)]
    internal static partial int shutdown(int fd, int how);

    [LibraryImport(Name)]
    internal static partial nint recv(int fd, void* buffer, nuint length, int flags);

    [LibraryImport(Name)]
    internal static partial nint send(int fd, void* buffer, nuint length, int flags);

    [LibraryImport(Name)]
    internal static partial nint sendmsg(int fd, MessageHeader* message, int flags);

    [LibraryImport(Name)]
    internal static partial nint recvmsg(int fd, MessageHeader* message, int flags);

    [LibraryImport(Name)]
    internal static partial int epoll_create1(int flags);

    [LibraryImport(Name)]
    internal static partial int epoll_ctl(int epoll, int operation, int fd, void* data);

    [LibraryImport(Name)]
    internal static partial int epoll_wait(int epoll, void* events, int maximum, int timeout);

    [LibraryImport(Name)]
    internal static partial void* mmap(void* address, nuint length, int protection, int flags, int fd, long offset);

    [LibraryImport(Name)]
    internal static partial int mprotect(void* address, nuint length, int protection);

    [LibraryImport(Name)]
    internal static partial int sigaction(int signal, byte* action, byte* former);

    [LibraryImport(Name)]
    internal static partial int munmap(void* address, nuint length);

    [LibraryImport(Name)]
    internal static partial int mlock(void* address, nuint length);

    [LibraryImport(Name)]
    internal static partial int mlockall(int flags);

    [LibraryImport(Name)]
    internal static partial int madvise(void* address, nuint length, int advice);

    [LibraryImport(Name)]
    internal static partial int memfd_create(byte* name, uint flags);

    [LibraryImport(Name)]
    internal static partial int mount(byte* source, byte* target, byte* type, nuint flags, byte* data);

    [LibraryImport(Name)]
    internal static partial int umount2(byte* target, int flags);

    [LibraryImport(Name)]
    internal static partial int unshare(int flags);

    [LibraryImport(Name)]
    internal static partial int setns(int fd, int type);

    [LibraryImport(Name)]
    internal static partial int prctl(int option, nint a, nint b, nint c, nint d);

    [LibraryImport(Name)]
    internal static partial int kill(int pid, int signal);

    [LibraryImport(Name)]
    internal static partial int waitpid(int pid, int* status, int options);

    [LibraryImport(Name)]
    internal static partial int execve(byte* path, byte** argv, byte** environment);

    [LibraryImport(Name)]
    internal static partial int setrlimit(int resource, ResourceLimit* limit);

    [LibraryImport(Name)]
    internal static partial int posix_spawnp(int* pid, byte* file, void* actions, void* attributes, byte** argv, byte** environment);

    [LibraryImport(Name)]
    internal static partial int posix_spawnattr_init(void* attributes);

    [LibraryImport(Name)]
    internal static partial int posix_spawnattr_destroy(void* attributes);

    [LibraryImport(Name)]
    internal static partial int posix_spawnattr_setflags(void* attributes, short flags);

    [LibraryImport(Name)]
    internal static partial int posix_spawnattr_setsigdefault(void* attributes, void* set);

    [LibraryImport(Name)]
    internal static partial int posix_spawnattr_setsigmask(void* attributes, void* set);

    [LibraryImport(Name)]
    internal static partial int posix_spawn_file_actions_init(void* actions);

    [LibraryImport(Name)]
    internal static partial int posix_spawn_file_actions_destroy(void* actions);

    [LibraryImport(Name)]
    internal static partial int posix_spawn_file_actions_adddup2(void* actions, int fd, int newFd);

    [LibraryImport(Name)]
    internal static partial int posix_spawn_file_actions_addclose(void* actions, int fd);
}
