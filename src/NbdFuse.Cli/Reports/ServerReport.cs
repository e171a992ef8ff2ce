using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using NbdFuse.Protocol;

namespace NbdFuse.Cli;

/// <summary>What <c>info</c> and <c>list</c> print: nbdinfo's keys and layout.</summary>
/// <param name="Protocol">The protocol as nbdinfo names it, such as <c>newstyle-fixed</c>.</param>
/// <param name="Tls">Whether the connection was encrypted.</param>
/// <param name="StructuredReplies">Whether structured replies were agreed on.</param>
/// <param name="Exports">The exports.</param>
/// <param name="ExtendedHeaders">Whether extended headers were agreed on.</param>
internal sealed record ServerReport(
    string Protocol, bool Tls, bool StructuredReplies, IReadOnlyList<ExportReport> Exports, bool ExtendedHeaders = false)
{
    /// <summary>The report for people.</summary>
    public string ToText()
    {
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"protocol: {Protocol} {(Tls ? "with" : "without")} TLS");
        text.Append(CultureInfo.InvariantCulture, $", using {(ExtendedHeaders ? "extended" : StructuredReplies ? "structured" : "simple")} packets\n");
        foreach (ExportReport export in Exports)
        {
            Append(text, export);
        }

        return text.ToString();
    }

    /// <summary>The report for programs.</summary>
    public string ToJson()
    {
        var buffer = new ArrayBufferWriter<byte>();

        // The relaxed encoder leaves quotes of HTML alone: this is for terminals and files.
        var options = new JsonWriterOptions { Indented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
        using (var json = new Utf8JsonWriter(buffer, options))
        {
            json.WriteStartObject();
            json.WriteString("protocol", Protocol);
            json.WriteBoolean("TLS", Tls);
            json.WriteBoolean("structured", StructuredReplies);
            json.WriteStartArray("exports");
            foreach (ExportReport export in Exports)
            {
                Write(json, export);
            }

            json.WriteEndArray();
            json.WriteEndObject();
        }

        return Encoding.UTF8.GetString(buffer.WrittenSpan) + "\n";
    }

    private static void Append(StringBuilder text, ExportReport export)
    {
        text.Append("export=\"").Append(Quoted(export.Name)).Append("\":\n");
        if (!string.IsNullOrEmpty(export.Description))
        {
            text.Append(CultureInfo.InvariantCulture, $"\tdescription: {export.Description}\n");
        }

        if (export.Info is not { } info)
        {
            text.Append(CultureInfo.InvariantCulture, $"\turi: {export.Uri}\n\terror: {export.Error}\n");
            return;
        }

        string number = info.Size.ToString(CultureInfo.InvariantCulture);
        string human = SizeText.Exact(info.Size);
        text.Append(CultureInfo.InvariantCulture, $"\texport-size: {number}{(human == number ? string.Empty : $" ({human})")}\n");
        if (export.Content is { } content)
        {
            text.Append(CultureInfo.InvariantCulture, $"\tcontent: {content}\n");
        }

        text.Append(CultureInfo.InvariantCulture, $"\turi: {export.Uri}\n");
        AppendContexts(text, export.Contexts ?? []);
        foreach ((string key, bool value) in ExportReport.Facts(info))
        {
            text.Append(CultureInfo.InvariantCulture, $"\t{key}: {(value ? "true" : "false")}\n");
        }

        foreach ((string key, uint value) in ExportReport.BlockSizes(info))
        {
            text.Append(CultureInfo.InvariantCulture, $"\t{key}: {value}\n");
        }
    }

    private static void AppendContexts(StringBuilder text, IReadOnlyList<string> contexts)
    {
        if (contexts.Count > 0)
        {
            text.Append("\tcontexts:\n");
        }

        foreach (string context in contexts)
        {
            text.Append("\t\t").Append(NbdText.Sanitize(context, NbdLimits.MaxStringBytes)).Append('\n');
        }
    }

    private static void Write(Utf8JsonWriter json, ExportReport export)
    {
        json.WriteStartObject();
        json.WriteString("export-name", export.Name);
        if (!string.IsNullOrEmpty(export.Description))
        {
            json.WriteString("description", export.Description);
        }

        if (export.Content is { } content)
        {
            json.WriteString("content", content);
        }

        json.WriteString("uri", export.Uri);
        if (export.Contexts is { Count: > 0 } contexts)
        {
            json.WriteStartArray("contexts");
            foreach (string context in contexts)
            {
                json.WriteStringValue(context);
            }

            json.WriteEndArray();
        }

        if (export.Info is { } info)
        {
            foreach ((string key, bool value) in ExportReport.Facts(info))
            {
                json.WriteBoolean(key, value);
            }

            foreach ((string key, uint value) in ExportReport.BlockSizes(info))
            {
                json.WriteNumber(key, value);
            }

            json.WriteNumber("export-size", info.Size);
            json.WriteString("export-size-str", SizeText.Exact(info.Size));
        }
        else
        {
            json.WriteString("error", export.Error);
        }

        json.WriteEndObject();
    }

    // A server chooses the names: nothing in them may reach the terminal's control codes or end the quotes early.
    private static string Quoted(string name) => NbdText.Sanitize(name, NbdLimits.MaxStringBytes)
        .Replace("\\", "\\\\", StringComparison.Ordinal)
        .Replace("\"", "\\\"", StringComparison.Ordinal);
}
