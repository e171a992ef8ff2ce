using NbdFuse.Protocol;

namespace NbdFuse.Cli;

/// <summary>The yes-or-no questions of <c>info --is</c> and <c>info --can</c>, with nbdinfo's words.</summary>
internal static class ExportQuestions
{
    /// <summary>Exit code for yes.</summary>
    public const int Yes = 0;

    /// <summary>Exit code for no: other than that of an error.</summary>
    public const int No = 2;

    /// <summary>What --is takes.</summary>
    public static readonly string[] IsWords = ["read-only", "rotational", "tls"];

    /// <summary>What --can takes.</summary>
    public static readonly string[] CanWords =
    [
        "cache", "connect", "df", "extended-headers", "fast-zero", "flush", "fua", "multi-conn", "read", "structured-reply", "trim",
        "write", "zero",
    ];

    /// <summary>The word that is meant: nbdinfo takes either case, underscores for dashes, and some short forms.</summary>
    /// <param name="word">A word of the user.</param>
    public static string Normalize(string word) => word.ToLowerInvariant().Replace('_', '-') switch
    {
        "readonly" => "read-only",
        "structured" or "structured-replies" => "structured-reply",
        var plain => plain,
    };

    /// <summary>Answers a question about an export that could be opened.</summary>
    /// <param name="word">One of the words above.</param>
    /// <param name="info">What the server said.</param>
    /// <param name="structured">Whether structured replies were agreed on.</param>
    /// <param name="tls">Whether the connection was encrypted.</param>
    /// <param name="extended">Whether extended headers were agreed on.</param>
    public static bool Answer(string word, NbdExportInfo info, bool structured, bool tls, bool extended) => word switch
    {
        "extended-headers" => extended,
        "read-only" => info.IsReadOnly,
        "rotational" => info.IsRotational,
        "tls" => tls,
        "cache" => info.CanCache,
        "connect" or "read" => true,
        "df" => info.CanDf,
        "fast-zero" => info.CanFastZero,
        "flush" => info.CanFlush,
        "fua" => info.CanFua,
        "multi-conn" => info.CanMultiConn,
        "structured-reply" => structured,
        "trim" => info.CanTrim,
        "write" => !info.IsReadOnly,
        "zero" => info.CanWriteZeroes,
        _ => throw new ArgumentException($"Not a question: {word}", nameof(word)),
    };
}
