using Microsoft.Extensions.Logging;
using NbdFuse.Protocol;

namespace NbdFuse.Client;

/// <summary>Collects the NBD_REP_INFO replies to one NBD_OPT_GO or NBD_OPT_INFO, which come in any order.</summary>
internal sealed class ExportInfoBuilder
{
    private const string InfoRule = "proto.md, NBD_REP_INFO";

    private readonly string _name;
    private readonly ILogger _logger;
    private int _seenTypes;
    private ulong _size;
    private NbdTransmissionFlags _flags;
    private string? _canonicalName;
    private string? _description;
    private NbdBlockSizes? _blockSizes;

    /// <summary>Starts with nothing known.</summary>
    public ExportInfoBuilder(string name, ILogger logger)
    {
        _name = name;
        _logger = logger;
    }

    /// <summary>Takes one NBD_REP_INFO.</summary>
    /// <exception cref="NbdProtocolException">It is malformed, or a known type came twice.</exception>
    public void Add(ReadOnlySpan<byte> data)
    {
        if (!NbdInfoReply.TryReadType(data, out NbdInfoType type))
        {
            throw new NbdProtocolException(
                $"{InfoRule}: begins with a 16-bit type", $"an information reply of {data.Length} bytes");
        }

        bool valid = true;
        switch (type)
        {
            case NbdInfoType.Export:
                RequireFirst(type);
                valid = NbdInfoReply.TryReadExport(data, out ulong size, out NbdTransmissionFlags flags);
                if (valid)
                {
                    SetExport(size, flags);
                }

                break;
            case NbdInfoType.Name:
                RequireFirst(type);
                valid = NbdInfoReply.TryReadName(data, out string name);
                _canonicalName = name;
                break;
            case NbdInfoType.Description:
                RequireFirst(type);
                valid = NbdInfoReply.TryReadDescription(data, out string description);
                _description = description.Length == 0 ? null : description;
                break;
            case NbdInfoType.BlockSize:
                RequireFirst(type);
                valid = NbdInfoReply.TryReadBlockSize(data, out uint minimum, out uint preferred, out uint maximum);
                if (valid)
                {
                    SetBlockSizes(minimum, preferred, maximum);
                }

                break;
            default:
                Log.UnknownInfo(_logger, (ushort)type, data.Length);
                break;
        }

        if (!valid)
        {
            throw new NbdProtocolException(
                $"{InfoRule}: fixed lengths of NBD_INFO_EXPORT (12) and NBD_INFO_BLOCK_SIZE (14), strings of UTF-8 without NUL "
                + $"of at most {NbdLimits.MaxStringBytes} bytes",
                $"malformed information of type {(ushort)type}, {data.Length} bytes");
        }
    }

    /// <summary>Takes size and flags, of NBD_INFO_EXPORT or the answer to NBD_OPT_EXPORT_NAME.</summary>
    public void SetExport(ulong size, NbdTransmissionFlags flags)
    {
        if (size > NbdLimits.MaxExportSize)
        {
            throw new NbdProtocolException(
                "sizes fit a signed 64-bit file offset", $"export size {size} is above {NbdLimits.MaxExportSize}");
        }

        if ((flags & NbdTransmissionFlags.HasFlags) == 0)
        {
            throw new NbdProtocolException(
                "proto.md, Transmission flags: NBD_FLAG_HAS_FLAGS is always set", $"transmission flags 0x{(ushort)flags:x4}");
        }

        _size = size;
        _flags = flags;
        _seenTypes |= 1 << (int)NbdInfoType.Export;
    }

    /// <summary>Ends the collection at the server's NBD_REP_ACK.</summary>
    /// <exception cref="NbdProtocolException">Size and flags are missing.</exception>
    public NbdExportInfo Build()
    {
        if ((_seenTypes & (1 << (int)NbdInfoType.Export)) == 0)
        {
            throw new NbdProtocolException(
                $"{InfoRule}: NBD_INFO_EXPORT comes before NBD_REP_ACK", "it acknowledged without size and flags");
        }

        if (_blockSizes is { Minimum: > 1 } sizes && _size % sizes.Minimum is ulong tail && tail != 0)
        {
            Log.TailUnreachable(_logger, NbdText.Sanitize(_name, NbdLimits.MaxStringBytes), _size, sizes.Minimum, tail);
        }

        return new NbdExportInfo
        {
            Name = _name,
            CanonicalName = _canonicalName,
            Description = _description,
            Size = _size,
            Flags = _flags,
            BlockSizes = _blockSizes,
        };
    }

    private void SetBlockSizes(uint minimum, uint preferred, uint maximum)
    {
        if (NbdBlockSizes.TryCreate(minimum, preferred, maximum, out NbdBlockSizes sizes))
        {
            _blockSizes = sizes;
        }
        else
        {
            Log.BlockSizesInvalid(_logger, minimum, preferred, maximum);
        }
    }

    // Which of two different answers to believe is nobody's guess, and a repetition could go on for ever.
    private void RequireFirst(NbdInfoType type)
    {
        int bit = 1 << (int)type;
        if ((_seenTypes & bit) != 0)
        {
            throw new NbdProtocolException(
                $"{InfoRule}: one reply per information type", $"information of type {(ushort)type} came twice");
        }

        _seenTypes |= bit;
    }
}
