using NbdFuse.Block;
using NbdFuse.Client;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.UnitTests.Client.Recovery;

/// <summary>
/// Random operations by processes that die, over a server that dies in the same moment, or only restarts: compared with an array.
/// What was not answered is asked again of the next process, as the kernel does.
/// </summary>
public sealed class TakeOverModelTests
{
    private const int DiskBytes = 256 * 1024;
    private const int Sector = 512;
    private const int Sectors = DiskBytes / Sector;

    public static TheoryData<int> Seeds => [.. Enumerable.Range(1, Requires.IsSoak ? 60 : 6)];

    [Theory]
    [MemberData(nameof(Seeds))]
    public async Task No_acknowledged_byte_differs_when_process_and_server_die_at_once(int seed)
    {
        var random = new Random(seed);
        await using var server = new VolatileServer(DiskBytes, seed);
        server.Start();
        using var dead = new DeadProcess();
        byte[] expected = new byte[DiskBytes];
        bool[] isUnknown = new bool[Sectors];
        List<Operation> pending = [];
        var options = new NbdExportOptions { Connections = seed % 3 == 0 ? 4 : 1, Movers = 0, WriteLogBytes = 256 * 1024 };
        for (int death = 0; death < (Requires.IsSoak ? 60 : 12); death++)
        {
            List<Operation> unanswered = [];
            await using (RecoveryHarness process = await RecoveryHarness.OpenAsync(server.SocketPath, dead.Options(options)))
            {
                process.Export.TakeOver();
                foreach (Operation left in pending)
                {
                    left.Start(process);
                }

                int steps = random.Next(5, 120);
                for (int step = 0; step < steps; step++)
                {
                    if (random.Next(40) == 0)
                    {
                        await server.CrashAsync();
                        server.Start();
                    }

                    Settle(pending, expected, isUnknown, process.Export);
                    if (pending.Count > 24)
                    {
                        await Deadline.Within(Task.WhenAny(pending.Select(operation => operation.Ended)), "an operation");
                    }

                    if (Random(random, pending) is { } next)
                    {
                        next.Start(process);
                        pending.Add(next);
                    }
                }

                // What had been answered by then counts, and nothing else. The loop stands still until the server is gone: a dead
                // process sends nothing more, and what its server executes after its memory was copied, that memory knows nothing of.
                server.Survival = random.Next(3) / 2.0;
                await dead.KillAsync(process, () =>
                {
                    unanswered.AddRange(pending.Where(operation => !operation.Ended.IsCompleted));
                    server.CrashAsync().GetAwaiter().GetResult();
                });
            }

            pending.RemoveAll(unanswered.Contains);
            Settle(pending, expected, isUnknown, null);
            Assert.Empty(pending);
            pending = unanswered;
            server.Start();
        }

        await using RecoveryHarness last = await RecoveryHarness.OpenAsync(server.SocketPath, dead.Options(options));
        last.Export.TakeOver();
        foreach (Operation left in pending)
        {
            left.Start(last);
        }

        await Deadline.Within(Task.WhenAll(pending.Select(operation => operation.Ended)), "all operations");
        Settle(pending, expected, isUnknown, last.Export);
        Assert.Equal(0, await last.Driver.Run(BlockOperation.Flush));
        byte[] durable = server.Durable();
        for (int sector = 0; sector < Sectors; sector++)
        {
            if (!isUnknown[sector])
            {
                PatternData.AssertEqual(
                    expected.AsSpan(sector * Sector, Sector), durable.AsSpan(sector * Sector, Sector), sector * Sector, $"seed {seed}: ");
            }
        }

        Assert.Equal(NbdExportState.Ready, last.Export.State);
    }

    private static void Settle(List<Operation> pending, byte[] expected, bool[] isUnknown, NbdExport? export)
    {
        foreach (Operation operation in pending.Where(operation => operation.Ended.IsCompleted).ToArray())
        {
            string reason = export is { Failure.IsCompleted: true } ? export.Failure.Result.Message : "the export has not failed";
            Assert.True(operation.Ended.Result == 0, $"{operation} ended with error {operation.Ended.Result}: {reason}");
            operation.Apply(expected, isUnknown);
            pending.Remove(operation);
        }
    }

    private static Operation? Random(Random random, List<Operation> pending)
    {
        int choice = random.Next(100);
        if (choice < 6)
        {
            return new Operation(BlockOperation.Flush, 0, 0, []);
        }

        int sectors = random.Next(1, 17);
        int first = random.Next(Sectors - sectors + 1);
        if (pending.Any(other => other.First < first + sectors && first < other.First + other.Count))
        {
            return null;
        }

        byte[] data = GC.AllocateArray<byte>(sectors * Sector, pinned: true);
        random.NextBytes(data);
        return new Operation(
            choice < 75 ? BlockOperation.Write : choice < 85 ? BlockOperation.WriteZeroes : choice < 88 ? BlockOperation.Trim : BlockOperation.Read,
            first,
            sectors,
            data);
    }

    private sealed class Operation(BlockOperation kind, int first, int count, byte[] data)
    {
        private byte[] _read = [];

        public int First => first;

        public int Count => count;

        public override string ToString() => $"{kind} of {count} sectors at {first}";

        public Task<int> Ended { get; private set; } = Task.FromResult(-1);

        public void Start(RecoveryHarness process)
        {
            // A buffer of its own each time: a dead process may still read into the old one.
            _read = kind == BlockOperation.Read ? GC.AllocateArray<byte>(data.Length, pinned: true) : data;
            Ended = process.Driver.Run(
                kind, (long)first * Sector, (long)count * Sector, 0, kind is BlockOperation.Read or BlockOperation.Write ? _read : null);
        }

        public void Apply(byte[] expected, bool[] isUnknown)
        {
            Span<byte> place = expected.AsSpan(first * Sector, count * Sector);
            switch (kind)
            {
                case BlockOperation.Write:
                    data.CopyTo(place);
                    break;
                case BlockOperation.WriteZeroes or BlockOperation.Trim:
                    place.Clear();
                    break;
                case BlockOperation.Read:
                    for (int i = 0; i < count; i++)
                    {
                        if (!isUnknown[first + i])
                        {
                            PatternData.AssertEqual(
                                place.Slice(i * Sector, Sector), _read.AsSpan(i * Sector, Sector), (first + i) * Sector, "a read: ");
                        }
                    }

                    return;
                default:
                    return;
            }

            Array.Fill(isUnknown, kind == BlockOperation.Trim, first, count);
        }
    }
}
