using NbdFuse.Protocol;

namespace NbdFuse.Client;

/// <summary>Extended headers and metadata contexts: what only some servers have, and what a refusal of leaves usable.</summary>
internal sealed partial class HandshakeSession
{
    private IReadOnlyList<NbdMetaContext> _metaContexts = [];
    private IReadOnlyList<string>? _availableContexts;
    private bool _extendedHeaders;

    /// <summary>Writes NBD_CMD_DISC in the form that was negotiated.</summary>
    /// <returns>Bytes written.</returns>
    internal static int WriteDisconnect(Span<byte> destination, bool extended)
    {
        if (extended)
        {
            NbdExtendedRequestHeader.Write(destination, NbdCommandFlags.None, NbdCommand.Disc, cookie: 0, offset: 0, length: 0);
            return NbdExtendedRequestHeader.Size;
        }

        NbdRequestHeader.Write(destination, NbdCommandFlags.None, NbdCommand.Disc, cookie: 0, offset: 0, length: 0);
        return NbdRequestHeader.Size;
    }

    /// <summary>NBD_OPT_EXTENDED_HEADERS.</summary>
    /// <returns>True when the server agreed: structured replies need not, and must not, be asked for any more.</returns>
    private bool NegotiateExtendedHeaders()
    {
        if (!_options.WantExtendedHeaders)
        {
            return false;
        }

        SendOption(NbdOption.ExtendedHeaders, []);
        OptionReply reply = ReadReply(NbdOption.ExtendedHeaders);
        if (reply.Type == NbdOptionReplyType.Ack)
        {
            _extendedHeaders = true;
            _structuredReplies = true;
            return true;
        }

        if (!reply.IsError)
        {
            throw Unexpected(NbdOption.ExtendedHeaders, reply);
        }

        switch (reply.Type)
        {
            case NbdOptionReplyType.ErrUnsup:
                Log.ExtendedHeadersUnsupported(_logger);
                break;
            case NbdOptionReplyType.ErrShutdown:
                throw Refused(NbdOption.ExtendedHeaders, reply, exportName: null);
            default:
                Log.ExtendedHeadersRefused(_logger, Refused(NbdOption.ExtendedHeaders, reply, exportName: null).Message);
                break;
        }

        return false;
    }

    /// <summary>
    /// Chooses the contexts of the options, and lists all when that is asked for. Comes last before the export is chosen: only
    /// the last NBD_OPT_SET_META_CONTEXT counts, and only for the export that it names.
    /// </summary>
    private void NegotiateMetaContexts(string exportName)
    {
        if (_options.ListMetaContexts)
        {
            _availableContexts = ListMetaContexts(exportName);
        }

        if (_options.MetaContexts.Count > 0 && _structuredReplies)
        {
            _metaContexts = AskContexts(NbdOption.SetMetaContext, exportName, _options.MetaContexts) ?? [];
            foreach (NbdMetaContext context in _metaContexts)
            {
                Log.MetaContext(_logger, NbdText.Sanitize(context.Name, NbdLimits.MaxStringBytes), context.Id);
            }
        }
    }

    /// <returns>Null when the server refuses to tell.</returns>
    private IReadOnlyList<string>? ListMetaContexts(string exportName) =>
        !_structuredReplies ? null
            : AskContexts(NbdOption.ListMetaContext, exportName, []) is { } contexts ? [.. contexts.Select(context => context.Name)]
            : null;

    private List<NbdMetaContext>? AskContexts(NbdOption option, string exportName, IReadOnlyList<string> queries)
    {
        byte[] data = new byte[NbdMetaContextQuery.GetSize(exportName, queries)];
        NbdMetaContextQuery.Write(data, exportName, queries);
        SendOption(option, data);
        List<NbdMetaContext> contexts = [];
        OptionReply reply = ReadReply(option);
        while (reply.Type == NbdOptionReplyType.MetaContext)
        {
            contexts.Add(TakeContext(option, reply, contexts));
            reply = ReadReply(option);
        }

        if (reply.Type == NbdOptionReplyType.Ack)
        {
            return contexts;
        }

        if (!reply.IsError)
        {
            throw Unexpected(option, reply);
        }

        NbdServerErrorException refusal = Refused(option, reply, exportName);
        if (reply.Type == NbdOptionReplyType.ErrShutdown)
        {
            throw refusal;
        }

        // Also ERR_UNKNOWN and ERR_TLS_REQD: the option that chooses the export will meet them, too, and it must not go on.
        // What came before the error does not count (proto.md, NBD_OPT_LIST_META_CONTEXT, NBD_OPT_SET_META_CONTEXT).
        Log.MetaContextsRefused(_logger, refusal.Message);
        return null;
    }

    private static NbdMetaContext TakeContext(NbdOption option, OptionReply reply, List<NbdMetaContext> seen)
    {
        if (!NbdMetaContext.TryRead(reply.Data.Span, out NbdMetaContext context))
        {
            throw new NbdProtocolException(
                $"proto.md, NBD_REP_META_CONTEXT: a number of 32 bits, a name of UTF-8 without NUL of at most {NbdLimits.MaxStringBytes} bytes",
                $"a malformed metadata context of {reply.Data.Length} bytes in answer to {NbdNames.Of(option)}");
        }

        if (seen.Count == NbdLimits.MaxMetaContexts)
        {
            throw new NbdConnectException(
                NbdConnectFailure.LimitExceeded, $"the server has more than {NbdLimits.MaxMetaContexts} metadata contexts: given up");
        }

        // The numbers of a listing mean nothing; those that were chosen tell the chunks apart.
        if (option == NbdOption.SetMetaContext && seen.Exists(other => other.Id == context.Id || other.Name == context.Name))
        {
            throw new NbdProtocolException(
                "proto.md, NBD_OPT_SET_META_CONTEXT: one reply for each selected context, each with a unique number",
                $"the metadata context {NbdText.Sanitize(context.Name, 256)} or its number {context.Id} came twice");
        }

        return context;
    }

    private void RequireCompactHeaders()
    {
        if (_extendedHeaders)
        {
            throw new NbdProtocolException(
                "extension-ext-header, NBD_OPT_EXTENDED_HEADERS: a server that agrees must also support NBD_OPT_GO",
                "it agreed to extended headers and does not know NBD_OPT_GO");
        }
    }
}
