using System.Text;
using System.Text.Json;
using NbdFuse.Attach;
using NbdFuse.Attach.Control;
using NbdFuse.TestKit;

namespace NbdFuse.Fuzz.Targets;

/// <summary>State files, and lines of the control socket: understood, or ignored. What is understood can be shown and used.</summary>
internal sealed class StateTarget : IFuzzTarget
{
    private readonly TempDirectory _directory = new();

    public string Name => "state";

    public IEnumerable<byte[]> Seeds
    {
        get
        {
            var state = new AttachState
            {
                Pid = 4,
                ProcessStart = 7,
                Device = "/dev/ublkb0",
                Driver = "ublk",
                Words = ["/dev/ublkb0", "nbd://h/e"],
                DriverNote = "3",
                Server = "h",
                Export = "e",
                Size = 1 << 30,
                BlockSize = 512,
                Partitions = ["/dev/ublkb0p1"],
                Connections = 2,
            };
            yield return JsonSerializer.SerializeToUtf8Bytes(state, AttachJson.Default.AttachState);
            yield return JsonSerializer.SerializeToUtf8Bytes(new ControlRequest { Request = ControlRequest.Detach, Force = true }, AttachJson.Default.ControlRequest);
            var status = new AttachStatus
            {
                Attached = state,
                State = "online",
                Reason = "r",
                Guarantees = [new Guarantee("memory-locked", false, "no")],
                InFlight = 3,
                Recovery = new RecoveryStatus(1, 2, 3, 4, 5),
            };
            yield return JsonSerializer.SerializeToUtf8Bytes(new ControlReply { Ok = true, Message = "m", Status = status }, AttachJson.Default.ControlReply);
            yield return Encoding.UTF8.GetBytes(
                """{"status":{"attached":{"device":null,"partitions":[null]},"state":"x","guarantees":[null],"operations":[{"latency":{"histogram":[]}}],"activity":{"queue":{},"connections":[{}],"server-operations":[]}}}""");
        }
    }

    public void Run(byte[] input)
    {
        var entry = new AttachEntry(_directory.Path);
        File.WriteAllBytes(_directory["state.json"], input);
        if (entry.Read() is { } state)
        {
            _ = AttachEntry.IsAlive(state);
            Show(new AttachStatus { Attached = state, State = "stale" });
        }

        Try(() => _ = JsonSerializer.Deserialize(input, AttachJson.Default.ControlRequest)?.Request.Length);
        Try(() =>
        {
            if (ControlClient.Read(input)?.Status is { } status)
            {
                Show(status);
            }
        });
    }

    public void Dispose() => _directory.Dispose();

    private static void Show(AttachStatus status)
    {
        _ = StatusReport.ToText([status]);
        _ = StatusReport.ToJson([status]);
        _ = status.Attached.Device.Length + status.Attached.Driver.Length + (status.Attached.Words?.Sum(word => word.Length) ?? 0);
    }

    private static void Try(Action read)
    {
        try
        {
            read();
        }
        catch (JsonException)
        {
            // Answered, or ignored, as nonsense.
        }
    }
}
