using NbdFuse.Protocol;

namespace NbdFuse.Client;

/// <summary>Asks for the status of a whole export, piece by piece.</summary>
internal sealed class NbdMapReader
{
    // A server may find a request too long (NBD_EOVERFLOW, NBD_EINVAL) and must say so without harm: ask for less, down to this.
    private const ulong SmallestRequest = 1 << 20;

    private readonly NbdQueryConnection _connection;
    private readonly string _context;
    private readonly Action<NbdMapExtent> _onExtent;
    private readonly ulong _size;
    private NbdMapExtent _pending;
    private ulong _offset;

    /// <summary>Prepares.</summary>
    public NbdMapReader(NbdQueryConnection connection, string context, Action<NbdMapExtent> onExtent)
    {
        _connection = connection;
        _context = context;
        _onExtent = onExtent;
        _size = connection.Size;
    }

    /// <summary>Reads the map.</summary>
    /// <returns>Size of the export in bytes.</returns>
    public long Run()
    {
        uint id = FindContext();
        ulong block = _connection.MinimumBlock;
        ulong longest = (_connection.Negotiated.ExtendedHeaders ? NbdLimits.MaxExportSize : uint.MaxValue) / block * block;

        // What is left of the size after its last whole block can't be asked about.
        ulong end = _size / block * block;
        while (_offset < end)
        {
            ulong length = Math.Min(longest, end - _offset);
            ulong start = _offset;
            try
            {
                _connection.BlockStatus(start, length, id, Take);
            }
            catch (NbdRequestException e)
                when (e.Error is NbdError.Overflow or NbdError.Inval && length > Math.Max(SmallestRequest, block) && _offset == start)
            {
                longest = Math.Max(length / 2 / block * block, block);
            }
        }

        Emit();
        return (long)_size;
    }

    private uint FindContext()
    {
        foreach (NbdMetaContext context in _connection.Negotiated.MetaContexts)
        {
            if (context.Name == _context)
            {
                return context.Id;
            }
        }

        throw new NbdException(
            $"the server does not support the metadata context \"{NbdText.Sanitize(_context, 256)}\" for this export; 'nbdfuse info' lists those that it has");
    }

    private void Take(NbdBlockExtent extent)
    {
        // The last one may reach past the end of the export.
        long length = (long)Math.Min(extent.Length, _size - _offset);
        if (length == 0)
        {
            return;
        }

        if (_pending.Length != 0 && _pending.Status == extent.Status)
        {
            _pending = _pending with { Length = _pending.Length + length };
        }
        else
        {
            Emit();
            _pending = new NbdMapExtent((long)_offset, length, extent.Status);
        }

        _offset += (ulong)length;
    }

    private void Emit()
    {
        if (_pending.Length != 0)
        {
            _onExtent(_pending);
            _pending = default;
        }
    }
}
