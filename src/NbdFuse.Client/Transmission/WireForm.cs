using NbdFuse.Protocol;

namespace NbdFuse.Client.Transmission;

/// <summary>What was negotiated on a connection about the form of its messages.</summary>
/// <param name="Structured">READs are answered by chunks.</param>
/// <param name="Extended">Requests and replies have 32-byte headers; nothing else may come or be sent.</param>
/// <param name="StatusContext">Number of the context base:allocation, or null when the server has not agreed to it.</param>
internal readonly record struct WireForm(bool Structured, bool Extended = false, uint? StatusContext = null)
{
    /// <summary>Takes what matters from the result of a handshake.</summary>
    /// <param name="negotiated">The result.</param>
    public static WireForm Of(NbdNegotiated negotiated)
    {
        foreach (NbdMetaContext context in negotiated.MetaContexts)
        {
            if (context.Name == NbdMetaContextNames.BaseAllocation)
            {
                return new WireForm(negotiated.StructuredReplies, negotiated.ExtendedHeaders, context.Id);
            }
        }

        return new WireForm(negotiated.StructuredReplies, negotiated.ExtendedHeaders);
    }
}
