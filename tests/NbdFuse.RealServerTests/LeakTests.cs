using System.Globalization;
using NbdFuse.Client;
using NbdFuse.Protocol;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.RealServerTests;

/// <summary>
/// Hundreds of connections (10,000 with NBDFUSE_SOAK=1) that come, fail and go leave nothing behind: no descriptor, no thread, no
/// memory. The embedded server runs in this process: what it holds is counted, too.
/// </summary>
[Collection(AloneCollection.Name)]
public sealed class LeakTests(TestPki pki) : IClassFixture<TestPki>
{
    private const int WarmUp = 40;

    // Pools of the runtime grow and shrink; one of anything per connection would be more, at 10,000 of them even 800 bytes.
    private const int FewThreads = 32;
    private const int FewDescriptors = 4;

    private static readonly long FewManagedBytes = Requires.IsSoak ? 8 << 20 : 4 << 20;
    private static readonly long FewResidentBytes = Requires.IsSoak ? 40L << 20 : 24L << 20;
    private static readonly int Rounds = Requires.IsSoak ? 10_000 : 150;

    [Theory]
    [InlineData("own")]
    [InlineData("nbdkit")]
    [InlineData("nbdkit x509")]
    [InlineData("nbdkit psk")]
    public async Task Connections_that_come_and_go_leave_nothing(string kind)
    {
        await using RealServer server = await StartAsync(kind);
        string uri = UriOf(server, kind);
        await RequireNoGrowthAsync(async () =>
        {
            await using ClientStack stack = await ClientStack.OpenAsync(uri, new NbdExportOptions { Connections = 2, ReconnectTimeout = TimeSpan.Zero });
            Assert.Equal(4096, (await stack.ReadAsync(8192, 4096)).Length);
        });
    }

    [Theory]
    [InlineData("own", 30)]
    [InlineData("own", 170)]
    [InlineData("nbdkit x509", 900)]
    [InlineData("nbdkit psk", 300)]
    public async Task Handshakes_that_fail_leave_nothing(string kind, int cut)
    {
        await using RealServer server = await StartAsync(kind);
        await RequireNoGrowthAsync(async () =>
        {
            // A new one each time: it records what it has carried.
            await using var proxy = new FaultProxy(server) { ToClient = _ => new FaultPlan { DropAfter = cut } };
            string uri = kind == "own" ? proxy.Uri : TlsServers.Uri(proxy.Uri, Parameters(kind));
            await Assert.ThrowsAnyAsync<NbdException>(() => ClientStack.ConnectAsync(uri));
        });
    }

    [Theory]
    [InlineData("nbdkit x509")]
    [InlineData("nbdkit psk")]
    [InlineData("qemu-nbd x509, TLS 1.2")]
    public async Task Tls_handshake_cut_after_any_byte_is_an_error_and_no_hang(string kind)
    {
        await using RealServer server = await StartAsync(kind);
        int whole;
        await using (var proxy = new FaultProxy(server))
        {
            NbdExport export = await ClientStack.ConnectAsync(TlsServers.Uri(proxy.Uri, Parameters(kind)));
            whole = proxy.RecordedToClient(0).Length;
            await export.DisposeAsync();
        }

        // Signatures differ in length by some bytes: the last words of one session may be behind the cut of another.
        const int Uncertain = 32;
        Assert.InRange(whole, 400, 20_000);
        for (int cut = 0; cut < whole - Uncertain; cut += Requires.IsSoak ? 1 : 97)
        {
            await using var proxy = new FaultProxy(server) { ToClient = _ => new FaultPlan { DropAfter = cut } };
            NbdException error = await Assert.ThrowsAnyAsync<NbdException>(
                () => Deadline.Within(ClientStack.ConnectAsync(TlsServers.Uri(proxy.Uri, Parameters(kind))), $"a session cut after {cut} bytes"));
            Assert.DoesNotContain('\n', error.Message);
        }
    }

    private static async Task RequireNoGrowthAsync(Func<Task> round)
    {
        for (int i = 0; i < WarmUp; i++)
        {
            await round();
        }

        (int descriptors, int threads, long managed, long resident) = await SettledAsync(int.MaxValue, int.MaxValue);
        for (int i = 0; i < Rounds; i++)
        {
            await round();
        }

        // Ends of connections are awaited by threads of their own.
        (int descriptorsAfter, int threadsAfter, long managedAfter, long residentAfter) = await SettledAsync(
            descriptors + FewDescriptors, threads + FewThreads);
        Assert.InRange(descriptorsAfter, 0, descriptors + FewDescriptors);
        Assert.InRange(threadsAfter, 0, threads + FewThreads);
        Assert.InRange(managedAfter - managed, long.MinValue, FewManagedBytes);
        Assert.InRange(residentAfter - resident, long.MinValue, FewResidentBytes);
    }

    private static async Task<(int Descriptors, int Threads, long Managed, long Resident)> SettledAsync(int descriptors, int threads)
    {
        try
        {
            await Deadline.Until(() => Count("fd") <= descriptors && Count("task") <= threads, "what connections held to be given back");
        }
        catch (TimeoutException e)
        {
            string[] names = [.. Directory.EnumerateDirectories("/proc/self/task").Select(task => File.ReadAllText(task + "/comm").Trim())];
            string many = string.Join(", ", names.CountBy(name => name).Select(pair => $"{pair.Value} {pair.Key}"));
            throw new InvalidOperationException($"{Count("fd")} descriptors, expected {descriptors}; {Count("task")} threads, expected {threads}: {many}", e);
        }

        GC.Collect();
        GC.WaitForPendingFinalizers();
        long managed = GC.GetTotalMemory(forceFullCollection: true);
        string line = File.ReadLines("/proc/self/status").First(line => line.StartsWith("VmRSS:", StringComparison.Ordinal));
        return (Count("fd"), Count("task"), managed, long.Parse(line[6..^2].Trim(), CultureInfo.InvariantCulture) * 1024);
    }

    private static int Count(string what) => Directory.EnumerateFileSystemEntries($"/proc/self/{what}").Count();

    private string UriOf(RealServer server, string kind) => kind is "own" or "nbdkit" ? server.Uri : TlsServers.Uri(server, Parameters(kind));

    private string Parameters(string kind) => kind.EndsWith("psk", StringComparison.Ordinal)
        ? $"tls-psk-file={pki.PskFile}&tls-username={TestPki.User}"
        : $"tls-certificates={pki.Trusting}&tls-hostname=localhost";

    private Task<RealServer> StartAsync(string kind)
    {
        var options = new RealServerOptions { Transport = ServerTransport.Unix, Size = 8 << 20 };
        return kind switch
        {
            "own" => RealServers.StartAsync(RealServerKind.Embedded, options),
            "nbdkit" => RealServers.NbdkitFile(options),
            _ => TlsServers.StartAsync(kind, pki, ServerTransport.Unix),
        };
    }
}
