using NbdFuse.Protocol;

namespace NbdFuse.Client;

/// <content>
/// NBD_OPT_STARTTLS, before every other option: what a server was asked or has said before counts for nothing after it (proto.md,
/// "TLS support").
/// </content>
internal sealed partial class HandshakeSession
{
    private bool _encrypted;

    private void UpgradeToTls()
    {
        if (_options.Tls is not { } tls)
        {
            return;
        }

        if (!_fixedNewstyle)
        {
            // Said by a flag that is not authenticated: whoever is in between may have cleared it.
            const string Reason = "the server is too old for TLS (no fixed newstyle negotiation), or something in between takes it away";
            if (tls.IsRequired)
            {
                throw NotOffered(Reason, null);
            }

            Log.TlsNotOffered(_logger, Reason);
            return;
        }

        SendOption(NbdOption.StartTls, []);
        OptionReply reply = ReadReply(NbdOption.StartTls);
        if (reply.Type == NbdOptionReplyType.Ack)
        {
            tls.Run(_channel);
            _encrypted = true;
            return;
        }

        if (!reply.IsError)
        {
            throw Unexpected(NbdOption.StartTls, reply);
        }

        NbdServerErrorException refusal = Refused(NbdOption.StartTls, reply, exportName: null);
        if (tls.IsRequired)
        {
            // Not one byte more, not even a farewell: this may be anybody.
            throw NotOffered(
                $"the server does not offer TLS ({NbdNames.Of(reply.Type)}), or something in between takes it away"
                + (refusal.ServerText is null ? string.Empty : $"; it says: {refusal.ServerText}"),
                refusal);
        }

        if (reply.Type == NbdOptionReplyType.ErrShutdown)
        {
            Abort();
            throw refusal;
        }

        Log.TlsNotOffered(_logger, refusal.Message);
    }

    private static NbdConnectException NotOffered(string reason, NbdServerErrorException? refusal) => new(
        NbdConnectFailure.TlsRefused,
        $"{reason}; nothing was sent without encryption: let the server offer TLS, or use nbd:// if the network can be trusted",
        refusal);

    // TLS is no matter of the server's mood: no other option and no other attempt helps.
    private NbdException Translate(NbdServerErrorException refusal) =>
        refusal.Code != NbdOptionReplyType.ErrTlsReqd ? refusal : new NbdConnectException(
            NbdConnectFailure.TlsRequired,
            (_encrypted
                ? "the server asks for TLS although the connection has it; see its log"
                : "the server requires TLS: use nbds:// (nbds+unix://) or --tls=require")
            + (refusal.ServerText is null ? string.Empty : $"; the server says: {refusal.ServerText}"),
            refusal);
}
