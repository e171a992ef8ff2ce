using System.Globalization;
using System.Text;
using System.Text.Json;

namespace NbdFuse.Attach;

/// <summary>What status prints.</summary>
public static class StatusReport
{
    private static readonly string[] Header = ["DEVICE", "DRIVER", "STATE", "SIZE", "ACCESS", "CONNECTIONS", "PID", "EXPORT", "SERVER"];

    /// <summary>For programs: an object with the version of the format and the devices.</summary>
    /// <param name="devices">The devices.</param>
    public static string ToJson(IReadOnlyList<AttachStatus> devices) =>
        JsonSerializer.Serialize(
            new StatusDocument(StatusDocument.CurrentVersion, [.. devices.Select(device => new StatusDevice(device))]),
            AttachJson.Indented.StatusDocument) + "\n";

    /// <summary>For people: a line for each device, and what was asked of it below.</summary>
    /// <param name="devices">The devices.</param>
    public static string ToText(IReadOnlyList<AttachStatus> devices)
    {
        if (devices.Count == 0)
        {
            return "nothing is attached\n";
        }

        string[][] rows = [Header, .. devices.Select(Row)];
        int[] widths = [.. Header.Select((_, column) => rows.Max(row => row[column].Length))];
        var text = new StringBuilder();
        for (int row = 0; row < rows.Length; row++)
        {
            text.Append(string.Join("  ", rows[row].Select((cell, column) => cell.PadRight(widths[column]))).TrimEnd()).Append('\n');
            if (row > 0)
            {
                AppendDetails(text, devices[row - 1]);
            }
        }

        return text.ToString();
    }

    private static string[] Row(AttachStatus device) =>
    [
        Printable(device.Attached.Device),
        Printable(device.Attached.Driver),
        Printable(device.State),
        Bytes(device.Attached.Size),
        device.Attached.ReadOnly ? "ro" : "rw",
        device.Attached.Connections.ToString(CultureInfo.InvariantCulture),
        device.Attached.Pid.ToString(CultureInfo.InvariantCulture),
        Printable(device.Attached.Export),
        Printable(device.Attached.Server),
    ];

    private static void AppendDetails(StringBuilder text, AttachStatus device)
    {
        if (device.Reason is { } reason)
        {
            text.Append("    ").Append(Line(reason)).Append('\n');
        }

        if (device.Attached.UnreachableTail > 0)
        {
            text.Append(CultureInfo.InvariantCulture, $"    the last {device.Attached.UnreachableTail} bytes of the export cannot be reached\n");
        }

        IReadOnlyList<Guarantee> guarantees = device.Guarantees ?? [];
        string inForce = string.Join(' ', guarantees.Where(guarantee => guarantee.InForce).Select(guarantee => guarantee.Name));
        if (inForce.Length > 0)
        {
            text.Append("    guarantees: ").Append(Line(inForce)).Append('\n');
        }

        foreach (Guarantee missing in guarantees.Where(guarantee => !guarantee.InForce))
        {
            text.Append("    not in force: ").Append(Line($"{missing.Name}: {missing.Reason}")).Append('\n');
        }

        if (device.Recovery is { } recovery)
        {
            text.Append(
                CultureInfo.InvariantCulture,
                $"    generation {recovery.Generation}: reconnected {recovery.Reconnects} times, {recovery.ReplayedWrites} writes sent again, write log ");
            text.Append(recovery.WriteLogCapacity == 0
                ? "off\n"
                : $"{Bytes(recovery.WriteLogBytes)} of {Bytes(recovery.WriteLogCapacity)}\n");
        }

        foreach (OperationStatus operation in (device.Operations ?? []).Where(operation => operation.Requests > 0))
        {
            AppendOperation(text, operation, "    ");
        }

        if (device.Activity is { } activity)
        {
            AppendActivity(text, activity, device.InFlight);
        }
    }

    private static void AppendOperation(StringBuilder text, OperationStatus operation, string indent)
    {
        text.Append(
            CultureInfo.InvariantCulture,
            $"{indent}{operation.Operation}: {operation.Requests} requests, {Bytes(operation.Bytes)}, {operation.Errors} errors");
        if (operation.Latency is { } latency)
        {
            text.Append(", ").Append(Latency(latency));
        }

        text.Append('\n');
    }

    private static void AppendActivity(StringBuilder text, ActivityStatus activity, int inFlight)
    {
        QueueStatus queue = activity.Queue;
        text.Append(
            CultureInfo.InvariantCulture,
            $"    queue: {inFlight} of {queue.Capacity} in flight, at most {queue.PeakInFlight}; full {queue.Full} times");
        if (queue.FullLatency is { } full)
        {
            text.Append(CultureInfo.InvariantCulture, $", {full.Mean} us on average");
        }

        if (queue.Wait is { } wait)
        {
            text.Append("; waiting before the server ").Append(Latency(wait));
        }

        text.Append('\n');
        if (activity.Cache is { } cache)
        {
            long reads = cache.Hits + cache.Misses + cache.Partial + cache.Coalesced + cache.JoinedPrefetches;
            text.Append(
                CultureInfo.InvariantCulture,
                $"    cache: {cache.Hits} hits of {reads} reads, {cache.JoinedPrefetches + cache.Coalesced} waited for another read; {Bytes(cache.HeldBytes)} held; read ahead {Bytes(cache.PrefetchedBytes)}, of which {Bytes(cache.WastedPrefetchedBytes)} wasted\n");
        }

        foreach (OperationStatus operation in activity.ServerOperations.Where(operation => operation.Requests > 0))
        {
            AppendOperation(text, operation, "    server ");
        }

        for (int i = 0; i < activity.Connections.Count; i++)
        {
            ConnectionStatus connection = activity.Connections[i];
            text.Append(
                CultureInfo.InvariantCulture,
                $"    connection {i + 1}: {connection.State}, {connection.InFlight} in flight, {connection.Requests} requests, {Bytes(connection.ReadBytes)} read, {Bytes(connection.WrittenBytes)} written\n");
        }
    }

    private static string Latency(LatencyStatus latency) => string.Create(
        CultureInfo.InvariantCulture, $"{latency.Mean} us on average, 99% within {latency.Percentile99} us, at most {latency.Maximum} us");

    private static string Line(string value) => string.Concat(value.Select(c => char.IsControl(c) ? '_' : c));

    // An empty cell would shift the columns for whoever splits at spaces; control characters would reach the terminal.
    private static string Printable(string value) =>
        value.Length == 0 ? "-" : string.Concat(value.Select(c => char.IsControl(c) || c == ' ' ? '_' : c));

    private static string Bytes(long bytes)
    {
        string[] units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        int unit = 0;
        double value = bytes;
        while (value >= 1024 && unit < units.Length - 1)
        {
            value /= 1024;
            unit++;
        }

        return string.Create(CultureInfo.InvariantCulture, $"{value:0.#}{units[unit]}");
    }
}
