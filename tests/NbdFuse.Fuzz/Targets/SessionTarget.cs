using System.Net.Sockets;
using Microsoft.Extensions.Logging.Abstractions;
using NbdFuse.Block;
using NbdFuse.Client;
using NbdFuse.Native;
using NbdFuse.TestKit;

namespace NbdFuse.Fuzz.Targets;

/// <summary>
/// A server that shakes hands properly and then answers reads in any order, in pieces, and with damaged headers, as the input
/// says, until it hangs up. Content is never damaged: a read that succeeds has to bring the right data, and each ends. So does
/// each question for the status, with the right answer unless the server lied, and always with one about what was asked.
/// </summary>
internal sealed class SessionTarget : IFuzzTarget
{
    public const ulong Pattern = 77;
    private const long ExportBytes = 1 << 20;
    private static readonly (int Offset, int Length)[] Reads =
    [
        (0, 512), (4096, 4096), (65536, 99_840), (300_032, 512), (8192, 16384), (200_704, 66_048), (1_048_064, 512), (524_288, 131_072),
    ];

    private static readonly (int Offset, int Length)[] Questions = [(0, 1 << 20), (65536, 65536), (200_704, 512), (1_048_064, 512)];

    private readonly TempDirectory _directory = new();
    private readonly Socket _listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);

    public SessionTarget()
    {
        _listener.Bind(new UnixDomainSocketEndPoint(_directory["s"]));
        _listener.Listen();
    }

    public string Name => "session";

    /// <summary>An input is a list of choices: any bytes will do. The first is a session without a fault.</summary>
    public IEnumerable<byte[]> Seeds
    {
        get
        {
            yield return [];

            // Without a fault in each form: the first choice is the form.
            yield return [1];
            yield return [2];
            for (int i = 1; i <= 16; i++)
            {
                byte[] choices = new byte[96];
                new Random(i).NextBytes(choices);
                yield return choices;
            }
        }
    }

    public void Run(byte[] input) => RunAsync(input).GetAwaiter().GetResult();

    public void Dispose()
    {
        _listener.Dispose();
        _directory.Dispose();
    }

    private async Task RunAsync(byte[] input)
    {
        var decisions = new Decisions(input);
        SessionForm form = decisions.Next(4) switch { 1 => SessionForm.Simple, 2 => SessionForm.Extended, _ => SessionForm.Structured };
        Task<bool> serving = Task.Run(() => Serve(decisions, form));

        // What this server says is all that there will be: nobody waits for it to come back.
        var options = new NbdExportOptions { Connections = 1, ReconnectTimeout = TimeSpan.Zero };
        NbdExport export = await NbdExport.OpenAsync(new UnixTarget(_directory["s"]), options, NullLogger.Instance).ConfigureAwait(false);
        Exception? failure = null;
        using (var loop = new EventLoop("fuzz", new EventLoopOptions { SpinMicroseconds = 0 }))
        {
            loop.Failed += error => failure = error;
            var ready = new ReadyList();
            var queue = new RequestQueue(DeviceStack.Build(export, ready, 32, checkContract: true), ready, new RequestQueueOptions { Capacity = 32 });
            export.Start(loop);
            loop.Start();
            using (var target = new LoopConformanceTarget(loop, queue))
            {
                Task[] reads = [.. Reads.Select(read => ReadAsync(target, read.Offset, read.Length, isFaulty: input.Length > 0))];
                StatusQuestion[] questions = [.. Asked(form).Select(question => new StatusQuestion(question.Offset, question.Length))];
                Array.ForEach(questions, question => loop.Post(() => question.Submit(queue)));
                await Deadline.Within(Task.WhenAll(reads), "the reads to end").ConfigureAwait(false);
                await Deadline.Within(Task.WhenAll(questions.Select(question => question.Ended)), "the questions to end").ConfigureAwait(false);
                bool hasLied = await Deadline.Within(serving, "the server to end").ConfigureAwait(false);
                Array.ForEach(questions, question => question.Check(isFaulty: input.Length > 1, hasLied));
                await Deadline.Within(export.DisposeAsync().AsTask(), "the export to close").ConfigureAwait(false);
            }
        }

        if (failure is not null)
        {
            throw new FuzzFailureException("the loop died", failure);
        }
    }

    private static async Task ReadAsync(LoopConformanceTarget target, int offset, int length, bool isFaulty)
    {
        byte[] data;
        try
        {
            data = await target.ReadAsync(offset, length).ConfigureAwait(false);
        }
        catch (ConformanceErrorException) when (isFaulty)
        {
            return;
        }

        if (PatternData.Difference(PatternData.Create(Pattern, offset, length), data, offset) is string difference)
        {
            throw new FuzzFailureException($"wrong data was delivered as right: {difference}");
        }
    }

    private static (int Offset, int Length)[] Asked(SessionForm form) => form == SessionForm.Simple ? [] : Questions;

    /// <returns>Whether the server lied.</returns>
    private bool Serve(Decisions decisions, SessionForm form)
    {
        using Socket socket = _listener.Accept();
        var server = new FaultySession(socket, decisions, form);
        try
        {
            server.ShakeHands(ExportBytes);
            server.Answer(Reads.Length + Asked(form).Length);
        }
        catch (SocketException)
        {
            // The client has had enough, which is its right.
        }

        return server.HasLied;
    }
}
