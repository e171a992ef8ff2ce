using NbdFuse.Protocol;

namespace NbdFuse.Server;

/// <content>Extended headers (extension-ext-header) and the metadata context base:allocation (proto.md, "Metadata querying").</content>
internal sealed partial class ServerHandshake
{
    // The client tells contexts apart by numbers of our choice.
    internal const uint AllocationId = 1;

    private NbdServerExport? _statusExport;

    /// <summary>Extended headers were agreed on; then structured replies were, too.</summary>
    public bool Extended { get; private set; }

    /// <summary>Whether the client has chosen base:allocation for the export that it then opened.</summary>
    /// <param name="export">The export that was opened.</param>
    public bool HasStatus(NbdServerExport export) => Structured && _statusExport == export;

    private void ExtendedHeaders(ReadOnlySpan<byte> data)
    {
        if (!options.ExtendedHeaders)
        {
            Error(NbdOption.ExtendedHeaders, NbdOptionReplyType.ErrUnsup, "extended headers are switched off");
        }
        else if (!data.IsEmpty)
        {
            Error(NbdOption.ExtendedHeaders, NbdOptionReplyType.ErrInvalid, "EXTENDED_HEADERS carries no data");
        }
        else if (Extended)
        {
            Error(NbdOption.ExtendedHeaders, NbdOptionReplyType.ErrInvalid, "extended headers were agreed on already");
        }
        else
        {
            Extended = true;
            Structured = true;
            Reply(NbdOption.ExtendedHeaders, NbdOptionReplyType.Ack, 0);
        }
    }

    private void MetaContexts(NbdOption option, ReadOnlySpan<byte> data)
    {
        bool selects = option == NbdOption.SetMetaContext;
        if (selects)
        {
            // Whatever comes of it, what was selected before is not any more.
            _statusExport = null;
        }

        if (!options.BlockStatus)
        {
            Error(option, NbdOptionReplyType.ErrUnsup, "metadata contexts are switched off");
            return;
        }

        if (!NbdMetaContextQuery.TryRead(data, out string name, out string[] queries))
        {
            Error(option, NbdOptionReplyType.ErrInvalid, "the lengths in the option do not add up");
            return;
        }

        if (!Structured)
        {
            Error(option, NbdOptionReplyType.ErrInvalid, "structured replies must be agreed on first");
            return;
        }

        if (Find(name) is not { } export)
        {
            Error(option, NbdOptionReplyType.ErrUnknown, $"there is no export '{Printable(name)}'");
            return;
        }

        if (Array.Exists(queries, query => !query.Contains(':', StringComparison.Ordinal)))
        {
            Error(option, NbdOptionReplyType.ErrInvalid, "a query begins with a namespace and a colon");
            return;
        }

        bool wanted = selects
            ? queries.Contains(NbdMetaContextNames.BaseAllocation)
            : queries.Length == 0 || queries.Contains("base:") || queries.Contains(NbdMetaContextNames.BaseAllocation);
        if (wanted)
        {
            int size = NbdMetaContext.GetSize(NbdMetaContextNames.BaseAllocation);
            NbdMetaContext.Write(
                Reply(option, NbdOptionReplyType.MetaContext, size), selects ? AllocationId : 0, NbdMetaContextNames.BaseAllocation);
            _statusExport = selects ? export : _statusExport;
        }

        Reply(option, NbdOptionReplyType.Ack, 0);
    }
}
