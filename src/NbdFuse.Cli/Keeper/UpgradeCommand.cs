using System.Net.Sockets;
using System.Text;
using NbdFuse.Attach;
using NbdFuse.Attach.Control;
using NbdFuse.Fuse;
using NbdFuse.Native;
using NbdFuse.Protocol;

namespace NbdFuse.Cli;

/// <summary>
/// upgrade: has a file served by a new process, of the program that lies at the path now. What was asked of the old one is answered
/// first, and nobody who uses the file notices.
/// </summary>
internal static class UpgradeCommand
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(20);

    /// <summary>Runs.</summary>
    /// <param name="mountPoint">Where the file is mounted, or the file.</param>
    /// <returns>The exit code.</returns>
    public static async Task<int> RunAsync(string mountPoint)
    {
        string path = Path.TrimEndingDirectorySeparator(Path.GetFullPath(mountPoint));
        if (Posix.Lstat(DetachTarget.ResolveLinks(path), out FileStatus status) >= 0 && status.IsBlockDevice
            && DeviceDrivers.Devices.Find(DetachTarget.Resolve(path).Device) is var (entry, _))
        {
            return await UpgradeDeviceAsync(mountPoint, entry).ConfigureAwait(false);
        }

        string device = FuseMount.DeviceAt(path) ?? FuseMount.DeviceAt(Path.GetDirectoryName(path) ?? path)
            ?? throw new NbdException($"{mountPoint}: no file is mounted here by nbdfuse");
        using var patience = new CancellationTokenSource(Patience);
        try
        {
            string? answer = await AskAsync(device, patience.Token).ConfigureAwait(false);
            if (answer is not UpgradeSocket.Accepted)
            {
                throw new NbdException(
                    $"{mountPoint}: cannot be upgraded: {answer?.TrimEnd('\n') ?? "it was mounted without --keeper; unmount it, and mount it with --keeper"}");
            }

            // The next one listens when it serves.
            while (!await IsServedAsync(device, patience.Token).ConfigureAwait(false))
            {
                if (FuseMount.DeviceAt(path) is null && FuseMount.DeviceAt(Path.GetDirectoryName(path) ?? path) is null)
                {
                    throw new NbdException($"{mountPoint}: was unmounted meanwhile");
                }

                await Task.Delay(Pause, patience.Token).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException)
        {
            throw new NbdException(
                $"{mountPoint}: no other process serves it after {Patience.TotalSeconds} s, perhaps because its server does not answer; its users wait, and nothing is lost");
        }

        return 0;
    }

    private static async Task<int> UpgradeDeviceAsync(string device, AttachEntry entry)
    {
        int before = entry.Read()?.Worker ?? 0;
        var request = new ControlRequest { Request = ControlRequest.Upgrade };
        ControlReply? reply = await ControlClient.AskAsync(entry.SocketPath, request, Patience).ConfigureAwait(false);
        if (reply is not { Ok: true })
        {
            throw new NbdException($"{device}: cannot be upgraded: {reply?.Message ?? "its process does not answer; try again"}");
        }

        long end = MonotonicClock.Milliseconds + (long)Patience.TotalMilliseconds;
        request = new ControlRequest { Request = ControlRequest.Status };
        while (entry.Read() is not { } state || state.Worker == before
            || await ControlClient.AskAsync(entry.SocketPath, request, Patience).ConfigureAwait(false) is not { Status.State: "online" })
        {
            if (MonotonicClock.Milliseconds > end)
            {
                throw new NbdException(
                    $"{device}: no other process serves it after {Patience.TotalSeconds} s, perhaps because its server does not answer; its users wait, and nothing is lost");
            }

            await Task.Delay(Pause).ConfigureAwait(false);
        }

        return 0;
    }

    /// <returns>The answer; null when nobody is there.</returns>
    private static async Task<string?> AskAsync(string device, CancellationToken cancellation)
    {
        using Socket? socket = await ConnectAsync(device, cancellation).ConfigureAwait(false);
        if (socket is null)
        {
            return null;
        }

        if (Posix.GetPeerCredentials((int)socket.Handle, out _, out uint uid, out _) < 0 || (uid != 0 && uid != Posix.GetEuid() && Posix.GetEuid() != 0))
        {
            return $"it belongs to the user {uid}";
        }

        try
        {
            await socket.SendAsync(Encoding.UTF8.GetBytes(UpgradeSocket.Request), SocketFlags.None, cancellation).ConfigureAwait(false);
            var answer = new StringBuilder();
            byte[] buffer = new byte[256];
            int length;
            while ((length = await socket.ReceiveAsync(buffer, SocketFlags.None, cancellation).ConfigureAwait(false)) > 0 && answer.Length < 4096)
            {
                answer.Append(Encoding.UTF8.GetString(buffer, 0, length));
            }

            return answer.Length == 0 ? "it does not listen to this user" : answer.ToString();
        }
        catch (SocketException e)
        {
            return e.Message;
        }
    }

    // One that has gone is followed by one that is another process: the socket of the old one is closed at its end only.
    private static async Task<bool> IsServedAsync(string device, CancellationToken cancellation)
    {
        using Socket? socket = await ConnectAsync(device, cancellation).ConfigureAwait(false);
        return socket is not null;
    }

    private static async Task<Socket?> ConnectAsync(string device, CancellationToken cancellation)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            await socket.ConnectAsync(UpgradeSocket.EndPointOf(device), cancellation).ConfigureAwait(false);
            return socket;
        }
        catch (SocketException)
        {
            socket.Dispose();
            return null;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }
}
