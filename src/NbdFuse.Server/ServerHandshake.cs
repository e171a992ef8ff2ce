using System.Text;
using NbdFuse.Protocol;

namespace NbdFuse.Server;

/// <summary>The option haggling of one connection (proto.md, "Fixed newstyle negotiation").</summary>
internal sealed partial class ServerHandshake(NbdServerOptions options, WireReader reader, WireWriter writer)
{
    // An option that is too big but no attack is skipped and answered; a bigger one ends the connection.
    private const uint MaximumSkip = 16 * NbdLimits.MaxOptionRequestBytes;

    private bool _noZeroes;

    /// <summary>Structured replies were agreed on.</summary>
    public bool Structured { get; private set; }

    /// <summary>Haggles until the client has chosen an export.</summary>
    /// <returns>Null when the client left politely, or just closed.</returns>
    public async Task<NbdServerExport?> RunAsync(CancellationToken cancellation)
    {
        NbdNewstyleGreeting.Write(
            writer.GetSpan(NbdNewstyleGreeting.Size), NbdHandshakeFlags.FixedNewstyle | NbdHandshakeFlags.NoZeroes);
        writer.Advance(NbdNewstyleGreeting.Size);
        await writer.FlushAsync(cancellation).ConfigureAwait(false);

        if (!await reader.FillAsync(NbdClientGreeting.Size, cancellation).ConfigureAwait(false))
        {
            return null;
        }

        ReadClientFlags();
        for (int count = 0; count < options.MaximumOptions; count++)
        {
            if (!await reader.FillAsync(NbdOptionHeader.Size, cancellation).ConfigureAwait(false))
            {
                return null;
            }

            NbdOptionHeader header = ReadHeader();
            if (header.Length > NbdLimits.MaxOptionRequestBytes)
            {
                await RefuseTooBigAsync(header, cancellation).ConfigureAwait(false);
                continue;
            }

            if (!await reader.FillAsync((int)header.Length, cancellation).ConfigureAwait(false))
            {
                return null;
            }

            Verdict verdict = Answer(header.Option, reader.Buffered[..(int)header.Length], out NbdServerExport? chosen);
            reader.Consume((int)header.Length);
            await writer.FlushAsync(cancellation).ConfigureAwait(false);
            if (verdict != Verdict.Continue)
            {
                return chosen;
            }
        }

        throw new ClientViolationException($"it sent more than {options.MaximumOptions} options");
    }

    private enum Verdict
    {
        Continue,
        Enter,
        Leave,
    }

    private void ReadClientFlags()
    {
        NbdClientGreeting.TryRead(reader.Buffered, out NbdClientGreeting greeting);
        reader.Consume(NbdClientGreeting.Size);
        if (greeting.HasUnknownFlags)
        {
            throw new ClientViolationException($"it set unknown client flags (0x{(uint)greeting.Flags:x})");
        }

        _noZeroes = (greeting.Flags & NbdClientFlags.NoZeroes) != 0;
    }

    private NbdOptionHeader ReadHeader()
    {
        if (!NbdOptionHeader.TryRead(reader.Buffered, out NbdOptionHeader header))
        {
            throw new ClientViolationException("an option began with the wrong magic");
        }

        reader.Consume(NbdOptionHeader.Size);
        return header;
    }

    private async Task RefuseTooBigAsync(NbdOptionHeader header, CancellationToken cancellation)
    {
        if (header.Length > MaximumSkip || header.Option == NbdOption.ExportName)
        {
            throw new ClientViolationException($"option {header.Option} announced {header.Length} bytes");
        }

        if (await reader.SkipAsync(header.Length, cancellation).ConfigureAwait(false))
        {
            Error(header.Option, NbdOptionReplyType.ErrTooBig, $"an option may have {NbdLimits.MaxOptionRequestBytes} bytes");
            await writer.FlushAsync(cancellation).ConfigureAwait(false);
        }
    }

    private Verdict Answer(NbdOption option, ReadOnlySpan<byte> data, out NbdServerExport? chosen)
    {
        chosen = null;
        switch (option)
        {
            case NbdOption.ExportName:
                chosen = ExportName(data);
                return Verdict.Enter;

            case NbdOption.Abort:
                Reply(option, NbdOptionReplyType.Ack, 0);
                return Verdict.Leave;

            case NbdOption.List:
                List(data);
                return Verdict.Continue;

            case NbdOption.StructuredReply:
                StructuredReply(data);
                return Verdict.Continue;

            case NbdOption.ExtendedHeaders:
                ExtendedHeaders(data);
                return Verdict.Continue;

            case NbdOption.ListMetaContext or NbdOption.SetMetaContext:
                MetaContexts(option, data);
                return Verdict.Continue;

            case NbdOption.Info or NbdOption.Go:
                NbdServerExport? export = Info(option, data);
                chosen = option == NbdOption.Go ? export : null;
                return chosen is null ? Verdict.Continue : Verdict.Enter;

            default:
                Error(option, NbdOptionReplyType.ErrUnsup, "this server does not know the option");
                return Verdict.Continue;
        }
    }

    private NbdServerExport ExportName(ReadOnlySpan<byte> data)
    {
        if (Extended)
        {
            throw new ClientViolationException("it sent EXPORT_NAME after extended headers were agreed on");
        }

        if (!NbdOptionData.TryReadExportName(data, out string name))
        {
            throw new ClientViolationException("EXPORT_NAME was no legal string");
        }

        // This option has no error reply: the only answer is to close (proto.md, "Option types").
        NbdServerExport export = Find(name)
            ?? throw new ClientViolationException($"there is no export '{Printable(name)}'");
        if (export.BlockSizes.Minimum > NbdLimits.DefaultGranularity)
        {
            throw new ClientViolationException(
                $"export '{Printable(name)}' has blocks of {export.BlockSizes.Minimum} bytes and EXPORT_NAME can't say so");
        }

        Span<byte> room = writer.GetSpan(NbdExportNameReply.SizeWithZeroes);
        writer.Advance(NbdExportNameReply.Write(room, (ulong)export.Backend.Size, export.Flags(Structured, statusPayload: Extended && options.BlockStatus), !_noZeroes));
        return export;
    }

    private void List(ReadOnlySpan<byte> data)
    {
        if (!data.IsEmpty)
        {
            Error(NbdOption.List, NbdOptionReplyType.ErrInvalid, "LIST carries no data");
            return;
        }

        foreach (NbdServerExport export in options.Exports)
        {
            int size = NbdListEntry.GetSize(export.Name, export.Description);
            NbdListEntry.Write(Reply(NbdOption.List, NbdOptionReplyType.Server, size), export.Name, export.Description);
        }

        Reply(NbdOption.List, NbdOptionReplyType.Ack, 0);
    }

    private void StructuredReply(ReadOnlySpan<byte> data)
    {
        if (!options.StructuredReplies)
        {
            Error(NbdOption.StructuredReply, NbdOptionReplyType.ErrUnsup, "structured replies are switched off");
        }
        else if (!data.IsEmpty)
        {
            Error(NbdOption.StructuredReply, NbdOptionReplyType.ErrInvalid, "STRUCTURED_REPLY carries no data");
        }
        else if (Extended)
        {
            Error(NbdOption.StructuredReply, NbdOptionReplyType.ErrExtHeaderReqd, "extended headers were agreed on already");
        }
        else if (Structured)
        {
            Error(NbdOption.StructuredReply, NbdOptionReplyType.ErrInvalid, "structured replies were agreed on already");
        }
        else
        {
            Structured = true;
            Reply(NbdOption.StructuredReply, NbdOptionReplyType.Ack, 0);
        }
    }

    private NbdServerExport? Info(NbdOption option, ReadOnlySpan<byte> data)
    {
        if (!NbdOptionData.TryReadGo(data, out string name, out NbdInfoType[] wanted))
        {
            Error(option, NbdOptionReplyType.ErrInvalid, "the lengths in the option do not add up");
            return null;
        }

        NbdServerExport? export = Find(name);
        if (export is null)
        {
            Error(option, NbdOptionReplyType.ErrUnknown, $"there is no export '{Printable(name)}'");
            return null;
        }

        NbdBlockSizes sizes = export.BlockSizes;
        if (option == NbdOption.Go && sizes.Minimum > NbdLimits.DefaultGranularity && !wanted.Contains(NbdInfoType.BlockSize))
        {
            Error(option, NbdOptionReplyType.ErrBlockSizeReqd, $"requests must be multiples of {sizes.Minimum} bytes");
            return null;
        }

        NbdInfoReply.WriteExport(
            Reply(option, NbdOptionReplyType.Info, NbdInfoReply.ExportBytes), (ulong)export.Backend.Size, export.Flags(Structured, statusPayload: Extended && options.BlockStatus));
        if (wanted.Contains(NbdInfoType.Name))
        {
            NbdInfoReply.WriteName(Reply(option, NbdOptionReplyType.Info, NbdInfoReply.TextSize(export.Name)), export.Name);
        }

        if (wanted.Contains(NbdInfoType.Description) && export.Description is string description)
        {
            NbdInfoReply.WriteDescription(
                Reply(option, NbdOptionReplyType.Info, NbdInfoReply.TextSize(description)), description);
        }

        if (wanted.Contains(NbdInfoType.BlockSize))
        {
            NbdInfoReply.WriteBlockSize(
                Reply(option, NbdOptionReplyType.Info, NbdInfoReply.BlockSizeBytes), sizes.Minimum, sizes.Preferred, sizes.Maximum);
        }

        Reply(option, NbdOptionReplyType.Ack, 0);
        return export;
    }

    private NbdServerExport? Find(string name)
    {
        foreach (NbdServerExport export in options.Exports)
        {
            if (export.Name == name)
            {
                return export;
            }
        }

        // The empty name is the default export (proto.md, "Option types").
        return name.Length == 0 ? options.Exports[0] : null;
    }

    private void Error(NbdOption option, NbdOptionReplyType type, string message)
    {
        byte[] text = Encoding.UTF8.GetBytes(message);
        text.CopyTo(Reply(option, type, text.Length));
    }

    private Span<byte> Reply(NbdOption option, NbdOptionReplyType type, int length)
    {
        Span<byte> frame = writer.GetSpan(NbdOptionReplyHeader.Size + length);
        NbdOptionReplyHeader.Write(frame, option, type, (uint)length);
        writer.Advance(frame.Length);
        return frame[NbdOptionReplyHeader.Size..];
    }

    // The name comes from the client and goes to logs and messages, which have limits of their own.
    private static string Printable(string name) => NbdText.Sanitize(name, 256);
}
