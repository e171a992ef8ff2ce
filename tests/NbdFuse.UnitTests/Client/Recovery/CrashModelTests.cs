using NbdFuse.Block;
using NbdFuse.Client;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.UnitTests.Client.Recovery;

/// <summary>
/// Random operations over a server that forgets, crashes and fails FLUSHes, compared with an array. No operation may fail but a
/// FLUSH that the server failed; no acknowledged byte may differ, whatever happens; a FLUSH that succeeded is durable.
/// </summary>
public sealed class CrashModelTests
{
    private const int DiskBytes = 512 * 1024;
    private const int Sector = 512;

    public static TheoryData<int, int, int> Runs
    {
        get
        {
            TheoryData<int, int, int> runs = [];
            bool soak = Environment.GetEnvironmentVariable("NBDFUSE_SOAK") == "1";
            for (int seed = 1; seed <= (soak ? 60 : 6); seed++)
            {
                // Seed, connections, movers.
                runs.Add(seed, seed % 3 == 0 ? 4 : 1, seed % 6 == 0 ? 1 : 0);
            }

            return runs;
        }
    }

    [Theory]
    [MemberData(nameof(Runs))]
    public async Task No_acknowledged_byte_differs_after_crashes(int seed, int connections, int movers)
    {
        await using var model = new Model(seed);
        await model.RunAsync(connections, movers, Environment.GetEnvironmentVariable("NBDFUSE_SOAK") == "1" ? 3000 : 400);
    }

    private sealed class Model(int seed) : IAsyncDisposable
    {
        private readonly Random _random = new(seed);
        private readonly VolatileServer _server = new(DiskBytes, seed) { Survival = 0.3 };
        private readonly byte[] _expected = new byte[DiskBytes];
        private readonly bool[] _unknown = new bool[DiskBytes / Sector];
        private readonly bool[] _busy = new bool[DiskBytes / Sector];
        private readonly List<Task> _running = [];
        private readonly Lock _lock = new();
        private bool _failing;
        private int _flushErrors;

        public async Task RunAsync(int connections, int movers, int steps)
        {
            _server.Start();
            await using RecoveryHarness harness = await RecoveryHarness.OpenAsync(_server.SocketPath, new NbdExportOptions
            {
                Connections = connections,
                Movers = movers,
                WriteLogBytes = seed % 2 == 0 ? 256 * 1024 : 4 << 20,
                LargeBytes = 16 * 1024,
            });
            int crashes = 0;
            for (int step = 0; step < steps; step++)
            {
                _running.RemoveAll(task => task.IsCompletedSuccessfully);
                int choice = _random.Next(100);
                if (choice < 4)
                {
                    crashes++;
                    await _server.CrashAsync();
                    _server.FailFlushes = 0;
                    Start(harness);
                    _server.Start();
                }
                else if (choice < 6)
                {
                    _failing = true;
                    _server.FailFlushes++;
                }
                else if (choice < 8)
                {
                    await QuietAsync();
                    await VerifyDurableAsync(harness);
                }
                else
                {
                    Start(harness);
                }

                if (_running.Count > 24)
                {
                    await Deadline.Within(Task.WhenAny(_running), "an operation");
                }
            }

            await QuietAsync();
            _server.FailFlushes = 0;
            await VerifyDurableAsync(harness);
            await VerifyReadsAsync(harness);
            await _server.CrashAsync();
            _server.Start();
            await VerifyReadsAsync(harness);
            Assert.True(crashes > 3, "the run has no crashes");
            Assert.Equal(NbdExportState.Ready, harness.Export.State);
            Assert.True(harness.Export.Reconnects > 0);
            Assert.True(_failing || _flushErrors == 0);
        }

        public async ValueTask DisposeAsync() => await _server.DisposeAsync();

        private void Start(RecoveryHarness harness)
        {
            int choice = _random.Next(100);
            if (choice < 8)
            {
                _running.Add(FlushAsync(harness));
                return;
            }

            int sectors = choice % 5 == 0 ? _random.Next(1, 128) : _random.Next(1, 17);
            int first = _random.Next((DiskBytes / Sector) - sectors + 1);
            if (!TryOccupy(first, sectors))
            {
                return;
            }

            BlockOperation operation = choice < 60 ? BlockOperation.Write
                : choice < 70 ? BlockOperation.WriteZeroes
                : choice < 76 ? BlockOperation.Trim
                : BlockOperation.Read;
            BlockRequestFlags flags = operation != BlockOperation.Read && _random.Next(5) == 0 ? BlockRequestFlags.Fua : BlockRequestFlags.None;
            byte[] buffer = operation is BlockOperation.Read or BlockOperation.Write
                ? GC.AllocateArray<byte>(sectors * Sector, pinned: true) : [];
            if (operation == BlockOperation.Write)
            {
                _random.NextBytes(buffer);
            }

            _running.Add(DoAsync(harness, operation, flags, first, sectors, buffer));
        }

        private async Task DoAsync(
            RecoveryHarness harness, BlockOperation operation, BlockRequestFlags flags, int first, int sectors, byte[] buffer)
        {
            int error = await harness.Driver.Run(operation, (long)first * Sector, (long)sectors * Sector, flags, buffer);
            Assert.True(error == 0, $"{operation} of {sectors} sectors at {first} ended with {error}");
            if (operation == BlockOperation.Read)
            {
                Compare(buffer, first, sectors, "a read");
            }
            else
            {
                Span<byte> place = _expected.AsSpan(first * Sector, sectors * Sector);
                if (operation == BlockOperation.Write)
                {
                    buffer.CopyTo(place);
                }
                else
                {
                    place.Clear();
                }

                Array.Fill(_unknown, operation == BlockOperation.Trim, first, sectors);
            }

            lock (_lock)
            {
                Array.Fill(_busy, false, first, sectors);
            }
        }

        private async Task FlushAsync(RecoveryHarness harness)
        {
            int error = await harness.Driver.Run(BlockOperation.Flush);
            if (error != 0)
            {
                Interlocked.Increment(ref _flushErrors);
                Assert.Equal(BlockErrno.EIO, error);
            }
        }

        private bool TryOccupy(int first, int sectors)
        {
            lock (_lock)
            {
                if (_busy.AsSpan(first, sectors).Contains(true))
                {
                    return false;
                }

                Array.Fill(_busy, true, first, sectors);
                return true;
            }
        }

        private async Task QuietAsync()
        {
            await Deadline.Within(Task.WhenAll(_running), "all operations");
            _running.Clear();
        }

        // Nothing else is under way: what a FLUSH says is then exact.
        private async Task VerifyDurableAsync(RecoveryHarness harness)
        {
            for (int i = 0; ; i++)
            {
                int error = await harness.Driver.Run(BlockOperation.Flush);
                if (error == 0)
                {
                    break;
                }

                Assert.True(i < 50 && error == BlockErrno.EIO, $"the flush fails with {error}");
            }

            Assert.Equal(0, harness.Export.WriteLogBytes);
            Compare(_server.Durable(), 0, DiskBytes / Sector, "what is durable");
        }

        private async Task VerifyReadsAsync(RecoveryHarness harness)
        {
            for (int first = 0; first < DiskBytes / Sector; first += 256)
            {
                Compare(await harness.Driver.Read(first * Sector, 256 * Sector), first, 256, "the disk");
            }
        }

        private void Compare(byte[] actual, int first, int sectors, string what)
        {
            for (int i = 0; i < sectors; i++)
            {
                if (!_unknown[first + i])
                {
                    PatternData.AssertEqual(
                        _expected.AsSpan((first + i) * Sector, Sector),
                        actual.AsSpan(i * Sector, Sector),
                        (first + i) * Sector,
                        $"seed {seed}: {what}: ");
                }
            }
        }
    }
}
