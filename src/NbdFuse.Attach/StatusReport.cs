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
            text.Append(
                CultureInfo.InvariantCulture,
                $"    {operation.Operation}: {operation.Requests} requests, {Bytes(operation.Bytes)}, {operation.Errors} errors");
            if (operation.Latency is { } latency)
            {
                text.Append(
                    CultureInfo.InvariantCulture,
                    $", {latency.Mean} us on average, 99% within {latency.Percentile99} us, at most {latency.Maximum} us");
            }

            text.Append('\n');
        }
    }

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
