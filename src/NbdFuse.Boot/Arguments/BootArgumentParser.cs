namespace NbdFuse.Boot;

/// <summary>Reads the whole command line: which words count, and which of them win.</summary>
internal sealed class BootArgumentParser
{
    // The most explicit first: the first one that is there wins.
    private static readonly string[] ExportKeys = ["nbdfuse", "nbdroot", "root", "netroot", "nbd_host"];

    private readonly Dictionary<string, string> _exports = [];
    private readonly List<string> _notes = [];
    private readonly List<string> _errors = [];
    private string? _archName;
    private string? _port;
    private bool _hasAccess;
    private BootArguments _result = new();

    /// <summary>Reads a command line.</summary>
    /// <param name="commandLine">Content of /proc/cmdline.</param>
    public BootArguments Parse(string commandLine)
    {
        foreach ((string name, string? value) in KernelCommandLine.Split(commandLine))
        {
            Guard(() => Take(name, value));
        }

        string key = Array.Find(ExportKeys, IsWinner) ?? string.Empty;
        if (key.Length > 0)
        {
            Guard(() => TakeExport(key, _exports[key]));
            foreach (string other in ExportKeys.Where(other => other != key && _exports.ContainsKey(other)))
            {
                _notes.Add($"{other}= has no effect beside {key}=");
            }
        }
        else if (_archName is not null)
        {
            _errors.Add("nbd_name= needs nbd_host=SERVER beside it");
        }

        return _result with { Notes = _notes, Errors = _errors };
    }

    private static bool IsLocation(string value) =>
        value.StartsWith("nbd:", StringComparison.Ordinal)
        || value.StartsWith("nbds:", StringComparison.Ordinal)
        || value.StartsWith("nbd+", StringComparison.Ordinal)
        || value.StartsWith("nbds+", StringComparison.Ordinal);

    // "root=dhcp netroot=nbd:..." asks DHCP for the address only.
    private bool IsWinner(string key) =>
        _exports.TryGetValue(key, out string? value)
        && !(key == "root" && value.Length == 0 && _exports.TryGetValue("netroot", out string? netroot) && netroot.Length > 0);

    private void Guard(Action read)
    {
        try
        {
            read();
        }
        catch (BootArgumentException e)
        {
            _errors.Add(e.Message);
        }
    }

    // The last of several equal ones wins, as for the kernel.
    private void Take(string name, string? value)
    {
        switch (name.Replace('-', '_'))
        {
            case "nbdfuse" or "nbdroot" or "nbd_host":
                TakeKey(name.Replace('-', '_'), value ?? string.Empty);
                break;
            case "root" or "netroot" when value is "dhcp" or "dhcp6":
                TakeKey(name, string.Empty);
                break;
            case "root" or "netroot" when value is not null && IsLocation(value):
                TakeKey(name, value);
                break;
            case "netroot":
                throw new BootArgumentException($"netroot={BootArgumentException.Quote(value ?? string.Empty)} is not for NBD; write netroot=nbd:SERVER:EXPORT");
            case "root":
                _result = _result with { Root = RootSelector.Parse(value ?? string.Empty) };
                break;
            case "nbd_name":
                _archName = value ?? string.Empty;
                break;
            case "nbd_port" or "nbdport":
                _port = value ?? string.Empty;
                break;
            case "ip" when !string.IsNullOrEmpty(value):
                _result = _result with { Ip = IpArgumentParser.Parse(value) };
                _notes.AddRange(_result.Ip.Notes);
                break;
            default:
                TakeSetting(name.Replace('-', '_'), value);
                break;
        }
    }

    private void TakeSetting(string name, string? value)
    {
        _result = name switch
        {
            "rootfstype" => _result with { FileSystem = string.IsNullOrEmpty(value) || value == "auto" ? null : value },
            "rootflags" => _result with { MountOptions = string.IsNullOrEmpty(value) ? null : value },
            "ro" or "rw" when value is null => TakeAccess(name),
            "rootwait" => _result with { RootWait = true },
            "init" when !string.IsNullOrEmpty(value) => _result with { Init = value },
            "fsck.mode" => _result with { Check = value == "force" },
            "BOOTIF" when value is not null => _result with { BootInterface = HardwareAddress(value) },
            "nbdfuse.rescue" => _result with { Rescue = IsOn(name, value) },
            "nbdfuse.debug" => _result with { Debug = IsOn(name, value) },
            "nbdfuse.overlay" => _result with { Overlay = IsOverlay(value) },
            "nbdfuse.prefetch" => _result with { Prefetch = PrefetchOf(value) },
            "nbdfuse.record" => _result with { Record = RecordOf(value) },
            "nbdfuse.driver" => _result with { Driver = DriverOf(value) },
            _ when name.StartsWith("nbdfuse.", StringComparison.Ordinal) => throw new BootArgumentException(
                $"there is no argument {BootArgumentException.Quote(name)}; there are nbdfuse.driver=, nbdfuse.overlay=, nbdfuse.prefetch=, nbdfuse.record=, nbdfuse.rescue= and nbdfuse.debug="),
            _ => _result,
        };
    }

    private BootArguments TakeAccess(string word)
    {
        _hasAccess = true;
        return _result with { IsReadOnly = word == "ro" };
    }

    private void TakeKey(string key, string value)
    {
        if (_exports.TryGetValue(key, out string? earlier) && earlier != value)
        {
            _notes.Add($"{key}= is given more than once: the last one counts");
        }

        _exports[key] = value;
    }

    private void TakeExport(string key, string value)
    {
        // What was tried is told even when it fails.
        _result = _result with { Key = key };
        ExportWish wish;
        try
        {
            wish = key switch
            {
                "nbdfuse" => ExportWishParser.ParseUri(value),
                "nbdroot" => ExportWishParser.Parse(value),
                "nbd_host" => new ExportWish { Host = ServerText.Host(value.Trim('[', ']')), ExportName = _archName ?? string.Empty },
                _ => value.Length == 0 ? new ExportWish { IsRootPath = true } : ExportWishParser.ParseDracut(value),
            };
        }
        catch (BootArgumentException e)
        {
            throw new BootArgumentException($"{key}={BootArgumentException.Quote(value)} cannot be understood: {e.Message}; write {ExportWishParser.Forms}");
        }

        if (key != "nbd_host" && _archName is not null)
        {
            _notes.Add($"nbd_name= has no effect beside {key}=");
        }

        if (_port is not null && wish.Uri is null && !wish.IsRootPath && wish.Port is null)
        {
            wish = wish with { Port = ServerText.Port(_port) };
        }

        _notes.AddRange(wish.Notes.Select(note => $"{key}={BootArgumentException.Quote(value)}: {note}"));
        string? options = MergeOptions(_result.MountOptions, wish.MountOptions);
        _result = _result with
        {
            Export = wish with { Notes = [] },
            Root = _result.Root.Kind == RootKind.Any && wish.Partition > 0
                ? new RootSelector(RootKind.Partition, Partition: wish.Partition)
                : _result.Root,
            FileSystem = _result.FileSystem ?? (wish.FileSystem == "auto" ? null : wish.FileSystem),
            MountOptions = options,
        };
    }

    // As in dracut: ro and rw among the mount options count unless they stand on the command line as words of their own.
    private string? MergeOptions(string? flags, string? options)
    {
        string[] words = [.. (options ?? string.Empty).Split(',', StringSplitOptions.RemoveEmptyEntries)];
        if (!_hasAccess && Array.FindLast(words, word => word is "ro" or "rw") is { } access)
        {
            _result = _result with { IsReadOnly = access == "ro" };
        }

        string merged = string.Join(',', words.Where(word => word is not ("ro" or "rw")).Prepend(flags ?? string.Empty).Where(word => word.Length > 0));
        return merged.Length > 0 ? merged : null;
    }

    private static bool IsOn(string name, string? value) => value switch
    {
        null or "1" or "yes" or "on" => true,
        "0" or "no" or "off" => false,
        _ => throw new BootArgumentException($"{name}={BootArgumentException.Quote(value)} cannot be understood; write {name}=1 or {name}=0"),
    };

    private static bool IsOverlay(string? value) => value switch
    {
        "tmpfs" => true,
        "" or "0" or "no" or "off" or "none" => false,
        _ => throw new BootArgumentException(
            $"nbdfuse.overlay={BootArgumentException.Quote(value ?? string.Empty)} cannot be understood; write nbdfuse.overlay=tmpfs"),
    };

    private static string PrefetchOf(string? value) => value switch
    {
        "0" or "no" or "off" => string.Empty,
        { Length: > 1 } when value[0] == '/' => value,
        _ => throw new BootArgumentException(
            $"nbdfuse.prefetch={BootArgumentException.Quote(value ?? string.Empty)} cannot be understood; write nbdfuse.prefetch=/PATH of a trace in the initramfs, or nbdfuse.prefetch=0"),
    };

    // Nothing else of this system lives on in the next one.
    private static string? RecordOf(string? value) => value switch
    {
        null or "1" or "yes" or "on" => BootArguments.DefaultRecord,
        "0" or "no" or "off" => null,
        _ when value.StartsWith("/run/", StringComparison.Ordinal) && value.Length > "/run/".Length && !value.Split('/').Contains("..") => value,
        _ => throw new BootArgumentException(
            $"nbdfuse.record={BootArgumentException.Quote(value)} cannot be understood; write nbdfuse.record, or nbdfuse.record=/run/FILE"),
    };

    private static string DriverOf(string? value) =>
        value is not null && BootArguments.Drivers.Contains(value)
            ? value
            : throw new BootArgumentException(
                $"nbdfuse.driver={BootArgumentException.Quote(value ?? string.Empty)}: there is no such driver; there are {string.Join(", ", BootArguments.Drivers)}");

    // pxelinux writes 01-52-54-00-12-34-56: the type of the hardware comes first. Grub writes colons.
    private static string HardwareAddress(string value)
    {
        string[] bytes = value.ToLowerInvariant().Split('-', ':');
        string[] address = bytes.Length == 7 ? bytes[1..] : bytes;
        return address.Length == 6 && address.All(part => part.Length == 2 && part.All(char.IsAsciiHexDigit))
            ? string.Join(':', address)
            : throw new BootArgumentException($"BOOTIF={BootArgumentException.Quote(value)} is no hardware address; it is such as 01-52-54-00-12-34-56");
    }
}
