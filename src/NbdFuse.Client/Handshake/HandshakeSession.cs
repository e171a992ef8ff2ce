using System.Text;
using Microsoft.Extensions.Logging;
using NbdFuse.Protocol;

namespace NbdFuse.Client;

/// <summary>The conversation of one handshake: greeting, options, the end. Runs once, on one thread.</summary>
internal sealed partial class HandshakeSession
{
    // How long a server may take to say goodbye: enough for a round trip, too short to annoy.
    private static readonly TimeSpan GoodbyeTimeout = TimeSpan.FromSeconds(1);

    private readonly HandshakeChannel _channel;
    private readonly NbdHandshakeOptions _options;
    private readonly ILogger _logger;
    private bool _fixedNewstyle;
    private bool _noZeroes;
    private bool _structuredReplies;

    /// <summary>Prepares the conversation; nothing is sent yet.</summary>
    public HandshakeSession(HandshakeChannel channel, NbdHandshakeOptions options, ILogger logger)
    {
        _channel = channel;
        _options = options;
        _logger = logger;
    }

    /// <summary>Negotiates the export of the options.</summary>
    public NbdNegotiated Negotiate()
    {
        Begin();
        if (!_fixedNewstyle)
        {
            return Finish(ChooseByName(), usedOptGo: false, chosen: true);
        }

        try
        {
            NegotiateStructuredReplies();
            NbdOption option = _options.Goal == NbdHandshakeGoal.Go ? NbdOption.Go : NbdOption.Info;
            NbdExportInfo? info = Query(option, _options.ExportName);

            // nbd-server 3.24 opens the file only for NBD_OPT_GO, and says size 0 to NBD_OPT_INFO.
            if ((info is null or { Size: 0 }) && option == NbdOption.Info)
            {
                Log.Fallback(_logger, NbdNames.Of(option), NbdNames.Of(NbdOption.Go));
                option = NbdOption.Go;
                info = Query(option, _options.ExportName);
            }

            if (info is not null)
            {
                return Finish(info, usedOptGo: true, chosen: option == NbdOption.Go);
            }
        }
        catch (NbdServerErrorException e)
        {
            // The only legal way to leave the haggling is to say so (proto.md, "Termination of the session").
            Abort();
            throw Translate(e);
        }

        Log.Fallback(_logger, NbdNames.Of(NbdOption.Go), NbdNames.Of(NbdOption.ExportName));
        return Finish(ChooseByName(), usedOptGo: false, chosen: true);
    }

    /// <summary>Lists the exports, and what each is.</summary>
    public NbdListing List(bool withInfo)
    {
        Begin();
        if (!_fixedNewstyle)
        {
            throw new NbdConnectException(
                NbdConnectFailure.NotFixedNewstyle,
                "the server is too old to list its exports (no fixed newstyle negotiation); name the export in the URI");
        }

        try
        {
            NegotiateStructuredReplies();
            _channel.Restart(_options.Timeout, _options.MaxListBytes);
            List<NbdListedExport> exports = ReadList();
            bool supported = true;

            // One deadline and one limit for all of them: each its own would let a server of many exports talk for weeks.
            _channel.Restart(_options.Timeout, _options.MaxListBytes);
            for (int i = 0; withInfo && supported && i < exports.Count; i++)
            {
                exports[i] = Describe(exports[i], out supported);
            }

            Abort();
            return new NbdListing
            {
                Exports = exports,
                StructuredReplies = _structuredReplies,
                Tls = _encrypted,
                InfoUnsupported = !supported,
            };
        }
        catch (NbdServerErrorException e)
        {
            Abort();
            throw Translate(e);
        }
    }

    private void Begin()
    {
        Span<byte> greeting = stackalloc byte[NbdNewstyleGreeting.Size];
        int filled = 0;
        while (filled < greeting.Length)
        {
            int read = _channel.ReadSome(greeting[filled..]);
            if (read == 0)
            {
                throw filled == 0
                    ? new NbdConnectException(
                        NbdConnectFailure.ClosedByServer,
                        "the server closed the connection without a greeting; it may be full or refuse this client's address, see its log")
                    : _channel.Closed();
            }

            filled += read;
            RequireNewstyle(greeting[..filled]);
        }

        // The magic numbers have been seen, so this cannot fail.
        _ = NbdNewstyleGreeting.TryRead(greeting, out NbdNewstyleGreeting parsed);
        Log.Greeting(_logger, parsed.Flags);
        NbdClientFlags answer = parsed.Answer();
        _fixedNewstyle = (answer & NbdClientFlags.FixedNewstyle) != 0;
        _noZeroes = (answer & NbdClientFlags.NoZeroes) != 0;
        Span<byte> flags = stackalloc byte[NbdClientGreeting.Size];
        NbdClientGreeting.Write(flags, answer);
        _channel.Awaited = "the reading of the client flags";
        _channel.Write(flags);
        UpgradeToTls();
    }

    private static void RequireNewstyle(ReadOnlySpan<byte> seen)
    {
        switch (NbdNewstyleGreeting.Identify(seen))
        {
            case NbdGreetingKind.Oldstyle:
                throw new NbdConnectException(
                    NbdConnectFailure.OldstyleServer,
                    "the server speaks the oldstyle NBD protocol, which is not supported; "
                    + "use a newstyle server: nbdkit without --oldstyle, or nbd-server 2.9.17 or later with a named export");
            case NbdGreetingKind.NotNbd:
                throw new NbdConnectException(
                    NbdConnectFailure.NotNbd,
                    $"not an NBD server: it begins with \"{NbdText.Sanitize(seen, 64)}\" ({Convert.ToHexStringLower(seen)}); check host and port");
            default:
                break;
        }
    }

    private void NegotiateStructuredReplies()
    {
        if (!_options.WantStructuredReplies)
        {
            return;
        }

        SendOption(NbdOption.StructuredReply, []);
        OptionReply reply = ReadReply(NbdOption.StructuredReply);
        if (reply.Type == NbdOptionReplyType.Ack)
        {
            _structuredReplies = true;
            return;
        }

        if (!reply.IsError)
        {
            throw Unexpected(NbdOption.StructuredReply, reply);
        }

        switch (reply.Type)
        {
            case NbdOptionReplyType.ErrTlsReqd:
                // The next option will say so, and what to do.
                break;
            case NbdOptionReplyType.ErrUnsup:
                Log.StructuredRepliesUnsupported(_logger);
                break;
            case NbdOptionReplyType.ErrShutdown:
                throw Refused(NbdOption.StructuredReply, reply, exportName: null);
            default:
                Log.StructuredRepliesRefused(_logger, Refused(NbdOption.StructuredReply, reply, exportName: null).Message);
                break;
        }
    }

    /// <summary>NBD_OPT_GO or NBD_OPT_INFO.</summary>
    /// <returns>Null when the server does not know the option.</returns>
    private NbdExportInfo? Query(NbdOption option, string exportName)
    {
        bool askBlockSizes = _options.WantBlockSizes;
        while (true)
        {
            SendQuery(option, exportName, askBlockSizes);
            var builder = new ExportInfoBuilder(exportName, _logger);
            OptionReply reply = ReadReply(option);
            while (reply.Type == NbdOptionReplyType.Info)
            {
                builder.Add(reply.Data.Span);
                reply = ReadReply(option);
            }

            if (reply.Type == NbdOptionReplyType.Ack)
            {
                return builder.Build();
            }

            if (!reply.IsError)
            {
                throw Unexpected(option, reply);
            }

            if (reply.Type == NbdOptionReplyType.ErrUnsup)
            {
                return null;
            }

            if (reply.Type != NbdOptionReplyType.ErrBlockSizeReqd || askBlockSizes)
            {
                throw Refused(option, reply, exportName);
            }

            askBlockSizes = true;
        }
    }

    private void SendQuery(NbdOption option, string exportName, bool askBlockSizes)
    {
        Span<NbdInfoType> infos = stackalloc NbdInfoType[3];
        int count = 0;
        if (askBlockSizes)
        {
            infos[count++] = NbdInfoType.BlockSize;
        }

        if (_options.WantTexts)
        {
            infos[count++] = NbdInfoType.Name;
            infos[count++] = NbdInfoType.Description;
        }

        byte[] data = new byte[NbdOptionData.GoSize(exportName, count)];
        NbdOptionData.WriteGo(data, exportName, infos[..count]);
        SendOption(option, data);
    }

    /// <summary>NBD_OPT_EXPORT_NAME: no errors, no information, transmission at once.</summary>
    private NbdExportInfo ChooseByName()
    {
        byte[] name = Encoding.UTF8.GetBytes(_options.ExportName);
        SendOption(NbdOption.ExportName, name);
        Span<byte> answer = stackalloc byte[NbdExportNameReply.SizeWithZeroes];
        answer = answer[..(_noZeroes ? NbdExportNameReply.Size : NbdExportNameReply.SizeWithZeroes)];
        try
        {
            _channel.ReadExactly(answer);
        }
        catch (NbdConnectException e) when (e.Reason == NbdConnectFailure.ClosedByServer)
        {
            // The only way in which this option can be refused.
            throw new NbdConnectException(
                e.Reason,
                $"the server closed the connection when export \"{NbdText.Sanitize(_options.ExportName, 256)}\" was asked for: "
                + "it has no such export or refuses this client; see its log",
                e);
        }

        // Long enough by construction.
        _ = NbdExportNameReply.TryRead(answer, out NbdExportNameReply reply);
        var builder = new ExportInfoBuilder(_options.ExportName, _logger);
        builder.SetExport(reply.ExportSize, reply.Flags);
        return builder.Build();
    }

    private List<NbdListedExport> ReadList()
    {
        var exports = new List<NbdListedExport>();
        SendOption(NbdOption.List, []);
        OptionReply reply = ReadReply(NbdOption.List);
        while (reply.Type == NbdOptionReplyType.Server)
        {
            if (!NbdListEntry.TryRead(reply.Data.Span, out NbdListEntry entry))
            {
                throw new NbdProtocolException(
                    "proto.md, NBD_REP_SERVER: a length, a name of that length, a description, both UTF-8 without NUL",
                    $"a malformed list entry of {reply.Data.Length} bytes");
            }

            if (exports.Count == _options.MaxListedExports)
            {
                throw new NbdConnectException(
                    NbdConnectFailure.LimitExceeded,
                    $"the server lists more than {_options.MaxListedExports} exports: given up");
            }

            exports.Add(new NbdListedExport(entry.Name, entry.Description));
            reply = ReadReply(NbdOption.List);
        }

        return reply.Type == NbdOptionReplyType.Ack ? exports
            : reply.IsError ? throw Refused(NbdOption.List, reply, exportName: null)
            : throw Unexpected(NbdOption.List, reply);
    }

    private NbdListedExport Describe(NbdListedExport export, out bool supported)
    {
        supported = true;
        try
        {
            NbdExportInfo? info = Query(NbdOption.Info, export.Name);
            supported = info is not null;
            return export with { Info = info, Description = info?.Description ?? export.Description };
        }
        catch (NbdServerErrorException e) when (e.Code != NbdOptionReplyType.ErrShutdown)
        {
            // One export may need TLS or be forbidden while the others are not.
            return export with { InfoError = e.Message };
        }
    }

    private NbdNegotiated Finish(NbdExportInfo info, bool usedOptGo, bool chosen)
    {
        Log.Negotiated(
            _logger, NbdText.Sanitize(info.Name, NbdLimits.MaxStringBytes), info.Size, info.Flags, _structuredReplies);
        if (_options.Goal == NbdHandshakeGoal.Info)
        {
            if (chosen)
            {
                Disconnect();
            }
            else
            {
                Abort();
            }
        }

        return new NbdNegotiated
        {
            Export = info,
            StructuredReplies = _structuredReplies,
            FixedNewstyle = _fixedNewstyle,
            UsedOptGo = usedOptGo,
            Tls = _encrypted,
        };
    }

    /// <summary>Leaves the haggling politely; what the server makes of it is of no interest any more.</summary>
    private void Abort()
    {
        try
        {
            _channel.Restart(GoodbyeTimeout, _options.MaxBytes);
            SendOption(NbdOption.Abort, []);

            // Waiting for the acknowledgement or the close keeps the server from an error in its log.
            Span<byte> reply = stackalloc byte[NbdOptionReplyHeader.Size];
            _ = _channel.ReadSome(reply);
        }
        catch (NbdConnectException e)
        {
            Log.AbortFailed(_logger, e.Message);
        }
    }

    private void Disconnect()
    {
        Span<byte> request = stackalloc byte[NbdRequestHeader.Size];
        NbdRequestHeader.Write(request, NbdCommandFlags.None, NbdCommand.Disc, cookie: 0, offset: 0, length: 0);
        try
        {
            _channel.Write(request);
        }
        catch (NbdConnectException e)
        {
            Log.AbortFailed(_logger, e.Message);
        }
    }

    private void SendOption(NbdOption option, ReadOnlySpan<byte> data)
    {
        _channel.Awaited = $"the answer to {NbdNames.Of(option)}";

        // One write: a header in a packet of its own costs a server another read.
        byte[] message = new byte[NbdOptionHeader.Size + data.Length];
        NbdOptionHeader.Write(message, option, (uint)data.Length);
        data.CopyTo(message.AsSpan(NbdOptionHeader.Size));
        _channel.Write(message);
    }

    private OptionReply ReadReply(NbdOption option)
    {
        Span<byte> raw = stackalloc byte[NbdOptionReplyHeader.Size];
        _channel.ReadExactly(raw);
        if (!NbdOptionReplyHeader.TryRead(raw, out NbdOptionReplyHeader header))
        {
            throw new NbdProtocolException(
                "proto.md, Fixed newstyle negotiation: a reply begins with the magic 0x0003e889045565a9",
                $"{Convert.ToHexStringLower(raw)} in answer to {NbdNames.Of(option)}");
        }

        Log.Reply(_logger, NbdNames.Of(header.Option), NbdNames.Of(header.Type), header.Length);
        if (header.Option != option)
        {
            throw new NbdProtocolException(
                "proto.md, Fixed newstyle negotiation: a reply echoes its option",
                $"an answer to {NbdNames.Of(header.Option)} when {NbdNames.Of(option)} was asked");
        }

        if (header.Length > NbdLimits.MaxOptionReplyBytes)
        {
            throw new NbdProtocolException(
                $"a reply has at most {NbdLimits.MaxOptionReplyBytes} bytes (limit of this client)",
                $"{NbdNames.Of(header.Type)} of {header.Length} bytes in answer to {NbdNames.Of(option)}");
        }

        if (header.Type == NbdOptionReplyType.Ack && header.Length != 0)
        {
            throw new NbdProtocolException(
                "proto.md, NBD_REP_ACK: has no data", $"an acknowledgement of {NbdNames.Of(option)} with {header.Length} bytes");
        }

        return new OptionReply(header.Type, _channel.ReadPayload((int)header.Length));
    }

    private static NbdProtocolException Unexpected(NbdOption option, OptionReply reply) => new(
        "proto.md, Option types: each option has its own kinds of reply",
        $"{NbdNames.Of(reply.Type)} in answer to {NbdNames.Of(option)}");

    private static NbdServerErrorException Refused(NbdOption option, OptionReply reply, string? exportName) => new(
        reply.Type,
        reply.Data.IsEmpty ? null : NbdText.Sanitize(reply.Data.Span, NbdLimits.MaxErrorMessageBytes),
        option,
        exportName);
}
