using System.Buffers.Binary;
using System.Text;
using NbdFuse.Protocol;

namespace NbdFuse.TestKit;

/// <content>The handshake.</content>
public sealed partial class NbdScript
{
    /// <summary>Sends the newstyle greeting.</summary>
    /// <param name="flags">Handshake flags, legal or not.</param>
    public Task SendGreeting(NbdHandshakeFlags flags = NbdHandshakeFlags.FixedNewstyle | NbdHandshakeFlags.NoZeroes)
    {
        byte[] greeting = new byte[NbdNewstyleGreeting.Size];
        NbdNewstyleGreeting.Write(greeting, flags);
        return SendAsync(greeting);
    }

    /// <summary>Waits for the client's flags.</summary>
    public async Task<NbdClientFlags> ExpectClientFlags()
    {
        byte[] data = await ReceiveAsync(NbdClientGreeting.Size, "the client flags").ConfigureAwait(false);
        NbdClientGreeting.TryRead(data, out NbdClientGreeting greeting);
        return greeting.Flags;
    }

    /// <summary>Waits for the next option, whichever it is.</summary>
    public async Task<ScriptedOption> ReadOption()
    {
        byte[] data = await ReceiveAsync(NbdOptionHeader.Size, "an option").ConfigureAwait(false);
        if (!NbdOptionHeader.TryRead(data, out NbdOptionHeader header) || header.Length > NbdLimits.MaxOptionRequestBytes)
        {
            throw new ScriptException($"Not the header of an option: {Convert.ToHexString(data)}");
        }

        return new ScriptedOption(
            header.Option, await ReceiveAsync((int)header.Length, $"the data of {header.Option}").ConfigureAwait(false));
    }

    /// <summary>Waits for an option that must be this one.</summary>
    /// <param name="expected">The option.</param>
    public async Task<ScriptedOption> ExpectOption(NbdOption expected)
    {
        ScriptedOption option = await ReadOption().ConfigureAwait(false);
        return option.Option == expected
            ? option
            : throw new ScriptException($"The client sent option {option.Option} instead of {expected}.");
    }

    /// <summary>Sends one reply to an option.</summary>
    /// <param name="option">The option to echo.</param>
    /// <param name="type">Type of the reply.</param>
    /// <param name="data">Its data.</param>
    public Task SendOptionReply(NbdOption option, NbdOptionReplyType type, ReadOnlyMemory<byte> data = default)
    {
        byte[] reply = new byte[NbdOptionReplyHeader.Size + data.Length];
        NbdOptionReplyHeader.Write(reply, option, type, (uint)data.Length);
        data.CopyTo(reply.AsMemory(NbdOptionReplyHeader.Size));
        return SendAsync(reply);
    }

    /// <summary>Sends NBD_REP_ACK.</summary>
    /// <param name="option">The option to echo.</param>
    public Task SendAck(NbdOption option) => SendOptionReply(option, NbdOptionReplyType.Ack);

    /// <summary>Sends an error reply with a text.</summary>
    /// <param name="option">The option to echo.</param>
    /// <param name="type">Type of the reply.</param>
    /// <param name="message">Text for the user.</param>
    public Task SendOptionError(NbdOption option, NbdOptionReplyType type, string message = "") =>
        SendOptionReply(option, type, Encoding.UTF8.GetBytes(message));

    /// <summary>Sends NBD_INFO_EXPORT.</summary>
    /// <param name="option">The option to echo.</param>
    /// <param name="size">Size in bytes.</param>
    /// <param name="flags">Transmission flags.</param>
    public Task SendInfoExport(NbdOption option, ulong size, NbdTransmissionFlags flags)
    {
        byte[] data = new byte[NbdInfoReply.ExportBytes];
        NbdInfoReply.WriteExport(data, size, flags);
        return SendOptionReply(option, NbdOptionReplyType.Info, data);
    }

    /// <summary>Sends NBD_INFO_BLOCK_SIZE, legal or not.</summary>
    /// <param name="option">The option to echo.</param>
    /// <param name="minimum">Minimum block in bytes.</param>
    /// <param name="preferred">Preferred block in bytes.</param>
    /// <param name="maximum">Maximum payload in bytes.</param>
    public Task SendInfoBlockSize(NbdOption option, uint minimum, uint preferred, uint maximum)
    {
        byte[] data = new byte[NbdInfoReply.BlockSizeBytes];
        NbdInfoReply.WriteBlockSize(data, minimum, preferred, maximum);
        return SendOptionReply(option, NbdOptionReplyType.Info, data);
    }

    /// <summary>Sends an information of any type.</summary>
    /// <param name="option">The option to echo.</param>
    /// <param name="type">Type of the information.</param>
    /// <param name="content">What follows the type.</param>
    public Task SendInfo(NbdOption option, NbdInfoType type, ReadOnlyMemory<byte> content)
    {
        byte[] data = new byte[NbdInfoReply.TypeBytes + content.Length];
        BinaryPrimitives.WriteUInt16BigEndian(data, (ushort)type);
        content.CopyTo(data.AsMemory(NbdInfoReply.TypeBytes));
        return SendOptionReply(option, NbdOptionReplyType.Info, data);
    }

    /// <summary>Sends all that an export has to say, then NBD_REP_ACK.</summary>
    /// <param name="option">GO or INFO.</param>
    /// <param name="export">The export.</param>
    public async Task SendExport(NbdOption option, ScriptedExport export)
    {
        await SendInfoExport(option, export.Size, export.Flags).ConfigureAwait(false);
        if (export.Name is string name)
        {
            await SendInfo(option, NbdInfoType.Name, Encoding.UTF8.GetBytes(name)).ConfigureAwait(false);
        }

        if (export.Description is string description)
        {
            await SendInfo(option, NbdInfoType.Description, Encoding.UTF8.GetBytes(description)).ConfigureAwait(false);
        }

        if (export.BlockSizes is (uint minimum, uint preferred, uint maximum))
        {
            await SendInfoBlockSize(option, minimum, preferred, maximum).ConfigureAwait(false);
        }

        await SendAck(option).ConfigureAwait(false);
    }

    /// <summary>
    /// Answers options, from behind the client's flags, until the client has chosen the export by GO: INFO and GO with the
    /// export, STRUCTURED_REPLY as the export says, everything else with ERR_UNSUP.
    /// </summary>
    /// <param name="export">The export.</param>
    /// <returns>The name that the client asked for.</returns>
    public async Task<string> AcceptGo(ScriptedExport? export = null)
    {
        export ??= new ScriptedExport();
        while (true)
        {
            ScriptedOption option = await ReadOption().ConfigureAwait(false);
            switch (option.Option)
            {
                case NbdOption.Go:
                    await SendExport(NbdOption.Go, export).ConfigureAwait(false);
                    return option.ExportName;

                case NbdOption.Info:
                    await SendExport(NbdOption.Info, export).ConfigureAwait(false);
                    break;

                case NbdOption.StructuredReply when export.Structured:
                    Structured = true;
                    await SendAck(NbdOption.StructuredReply).ConfigureAwait(false);
                    break;

                default:
                    await SendOptionError(option.Option, NbdOptionReplyType.ErrUnsup).ConfigureAwait(false);
                    break;
            }
        }
    }

    /// <summary>Answers EXPORT_NAME.</summary>
    /// <param name="size">Size in bytes.</param>
    /// <param name="flags">Transmission flags.</param>
    /// <param name="withZeroes">Append the 124 zeroes.</param>
    public Task SendExportNameReply(ulong size, NbdTransmissionFlags flags, bool withZeroes)
    {
        byte[] reply = new byte[NbdExportNameReply.SizeWithZeroes];
        return SendAsync(reply.AsMemory(0, NbdExportNameReply.Write(reply, size, flags, withZeroes)));
    }

    /// <summary>The whole handshake, from the greeting to <see cref="AcceptGo"/>.</summary>
    /// <param name="export">The export.</param>
    /// <returns>The name that the client asked for.</returns>
    public async Task<string> Handshake(ScriptedExport? export = null)
    {
        await SendGreeting().ConfigureAwait(false);
        await ExpectClientFlags().ConfigureAwait(false);
        return await AcceptGo(export).ConfigureAwait(false);
    }
}
