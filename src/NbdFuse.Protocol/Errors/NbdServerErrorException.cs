using System.Text;

namespace NbdFuse.Protocol;

/// <summary>The server refused an option; the connection may go on with other options.</summary>
public sealed class NbdServerErrorException : NbdException
{
    // Enough for what servers say, too little to bury the line it is part of.
    private const int MaxTextChars = 512;

    /// <summary>Creates the error.</summary>
    /// <param name="code">Type of the error reply, also one that is not listed.</param>
    /// <param name="serverText">The server's own text; control characters are removed here. Null when it sent none.</param>
    /// <param name="option">The option that was refused.</param>
    /// <param name="exportName">The export that was asked for, or null when the option names none.</param>
    public NbdServerErrorException(
        NbdOptionReplyType code, string? serverText, NbdOption option = NbdOption.Go, string? exportName = null)
        : base(Describe(code, Clean(serverText), option, exportName))
    {
        Code = code;
        ServerText = Clean(serverText);
        Option = option;
        ExportName = exportName;
    }

    /// <summary>Type of the error reply.</summary>
    public NbdOptionReplyType Code { get; }

    /// <summary>The server's own text without control characters, or null.</summary>
    public string? ServerText { get; }

    /// <summary>The option that was refused.</summary>
    public NbdOption Option { get; }

    /// <summary>The export that was asked for, or null.</summary>
    public string? ExportName { get; }

    private static string? Clean(string? text) =>
        text is null || NbdText.Sanitize(text, MaxTextChars) is not { Length: > 0 } clean ? null : clean;

    private static string Describe(NbdOptionReplyType code, string? text, NbdOption option, string? exportName)
    {
        var result = new StringBuilder("the server refused ").Append(NbdNames.Of(option));
        if (exportName is not null)
        {
            result.Append(" of export \"").Append(NbdText.Sanitize(exportName, MaxTextChars)).Append('"');
        }

        result.Append(": ").Append(Explain(code)).Append(" (").Append(NbdNames.Of(code)).Append(')');
        if (text is not null)
        {
            result.Append("; the server says: ").Append(text);
        }

        return result.ToString();
    }

    private static string Explain(NbdOptionReplyType code) => code switch
    {
        NbdOptionReplyType.ErrUnsup => "it does not know this option",
        NbdOptionReplyType.ErrPolicy => "its configuration forbids it",
        NbdOptionReplyType.ErrInvalid => "it takes the request for malformed or out of place",
        NbdOptionReplyType.ErrPlatform => "it was built without support for it",
        NbdOptionReplyType.ErrTlsReqd => "it requires TLS; use an nbds:// or nbds+unix:// URI",
        NbdOptionReplyType.ErrUnknown => "it has no such export; list the exports to see their names",
        NbdOptionReplyType.ErrShutdown => "it is shutting down",
        NbdOptionReplyType.ErrBlockSizeReqd => "it requires a client that obeys its block sizes",
        NbdOptionReplyType.ErrTooBig => "the request or its answer is too large for it",
        NbdOptionReplyType.ErrExtHeaderReqd => "it requires extended headers",
        _ => "it gave an error that this program does not know",
    };
}
