using System.Collections.Concurrent;
using NbdFuse.Native;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>
/// Worker and server that die in the same moment: what the server had acknowledged into its memory, and forgets, is in the write
/// log that the keeper holds.
/// </summary>
public sealed class KeeperCrashTests
{
    private const int Writers = 8;
    private const int Block = 4096;
    private const int BlocksPerWriter = 128;
    private const int Size = Writers * BlocksPerWriter * Block;

    private static int Deaths => Requires.IsSoak ? 20 : 5;

    [Theory]
    [InlineData(1)]
    [InlineData(4)]
    public async Task Not_one_acknowledged_byte_differs_when_worker_and_server_die_at_once(int connections)
    {
        await using var server = new VolatileServer(Size);
        server.Start();
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(
            Uri(server), "--keeper", "-C", $"{connections}", "--write-log", "1M");
        using MountedFile file = mount.Open(OpenFlags.ReadWrite | OpenFlags.Direct);
        using var stop = new CancellationTokenSource();
        int[] versions = new int[Writers * BlocksPerWriter];
        ConcurrentQueue<string> faults = [];
        Task[] writers =
        [
            .. Enumerable.Range(0, Writers).Select(writer => Task.Factory.StartNew(
                () => Write(file, writer, versions, faults, stop.Token), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default)),
        ];
        var random = new Random(connections);
        for (int death = 0; death < Deaths && faults.IsEmpty; death++)
        {
            // Which moment does not matter: every one must do.
            await Task.Delay(random.Next(50, 500));
            int before = KeptWorker.TakeOvers(mount);
            int worker = await KeptWorker.WaitAsync(mount);
            server.Survival = random.Next(2) / 2.0;
            if (random.Next(2) == 0)
            {
                Posix.Kill(worker, KeptWorker.Kill);
            }

            Task crash = server.CrashAsync();
            Posix.Kill(worker, KeptWorker.Kill);
            await crash;
            server.Start();
            await KeptWorker.WaitForTakeOverAsync(mount, before);
        }

        await stop.CancelAsync();
        await Deadline.Within(Task.WhenAll(writers), "the writers");
        Assert.Empty(faults);
        Assert.True(versions.Count(version => version > 0) > Writers, "hardly anything was written");
        Assert.Contains("had left unflushed were repeated", mount.Error);
        for (int block = 0; block < versions.Length; block++)
        {
            PatternData.AssertEqual(Content(block, versions[block]), file.Read((long)block * Block, Block), (long)block * Block, "read: ");
        }

        Assert.Equal(0, file.Fsync());
        byte[] durable = server.Durable();
        for (int block = 0; block < versions.Length; block++)
        {
            PatternData.AssertEqual(
                Content(block, versions[block]), durable.AsSpan(block * Block, Block), (long)block * Block, "durable: ");
        }

        file.Dispose();
        await mount.UnmountCleanlyAsync();
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Another_disk_of_the_same_size_gets_nothing(bool hasUnflushed)
    {
        await using var server = new VolatileServer(Size);
        server.Start();
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(Uri(server), "--keeper");
        using MountedFile file = mount.Open(OpenFlags.ReadWrite | OpenFlags.Direct);
        for (int i = 0; i < 8; i++)
        {
            file.Write(i * 65536, PatternData.Create(1, i * 65536, 8192));
        }

        Assert.Equal(0, file.Fsync());
        if (hasUnflushed)
        {
            file.Write(Size - 8192, PatternData.Create(2, 0, 8192));
        }

        int worker = await KeptWorker.WaitAsync(mount);
        Task crash = server.CrashAsync();
        Posix.Kill(worker, KeptWorker.Kill);
        await crash;
        server.Replace(new byte[Size]);
        server.Start();
        Assert.Equal(1, await mount.WaitForExitAsync());
        Assert.Contains("another disk", mount.Error);
        Assert.True(file.TryRead(0, new byte[4096]) < 0);
        Assert.False(MountedNbdfuse.IsMounted(mount.MountPoint));
        Assert.Equal(new byte[Size], server.Memory());
    }

    private static string Uri(VolatileServer server) => $"nbd+unix:///?socket={server.SocketPath}";

    private static byte[] Content(int block, int version) =>
        version == 0 ? new byte[Block] : PatternData.Create(((ulong)block << 32) | (uint)version, 0, Block);

    // Each writer has its blocks, and waits for one answer before it asks for the next: what is there is known at any time.
    private static void Write(MountedFile file, int writer, int[] versions, ConcurrentQueue<string> faults, CancellationToken stop)
    {
        var random = new Random(writer);
        while (!stop.IsCancellationRequested && faults.IsEmpty)
        {
            int block = (writer * BlocksPerWriter) + random.Next(BlocksPerWriter);
            int choice = random.Next(100);
            if (choice == 0)
            {
                Check(file.Fsync() == 0, "an fsync failed");
            }
            else if (choice < 20)
            {
                byte[] found = new byte[Block];
                Check(file.TryRead((long)block * Block, found) == Block, $"a read of block {block} failed");
                Check(found.AsSpan().SequenceEqual(Content(block, versions[block])), $"block {block} is not at version {versions[block]}");
            }
            else
            {
                Check(file.TryWrite((long)block * Block, Content(block, versions[block] + 1)) == Block, $"a write of block {block} failed");
                versions[block]++;
            }
        }

        void Check(bool isTrue, string what)
        {
            if (!isTrue)
            {
                faults.Enqueue(what);
            }
        }
    }
}
