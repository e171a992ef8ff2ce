using System.Text.Json;
using System.Text.Json.Serialization;
using NbdFuse.Attach.Control;

namespace NbdFuse.Attach;

/// <summary>The JSON of state files, of the control socket and of status.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.KebabCaseLower,
    RespectNullableAnnotations = true,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(AttachState))]
[JsonSerializable(typeof(AttachStatus))]
[JsonSerializable(typeof(ControlRequest))]
[JsonSerializable(typeof(ControlReply))]
[JsonSerializable(typeof(StatusDocument))]
internal sealed partial class AttachJson : JsonSerializerContext
{
    /// <summary>The same, for people.</summary>
    public static AttachJson Indented { get; } = new(new JsonSerializerOptions
    {
        PropertyNamingPolicy = JsonNamingPolicy.KebabCaseLower,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
        WriteIndented = true,
    });
}
