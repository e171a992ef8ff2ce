namespace NbdFuse.Fuzz.Targets;

/// <summary>All targets, by name.</summary>
internal static class Targets
{
    private static readonly Dictionary<string, Func<IFuzzTarget>> Makers = new(StringComparer.Ordinal)
    {
        ["uri"] = static () => new UriTarget(),
        ["boot-arguments"] = static () => new BootArgumentsTarget(),
        ["mount-options"] = static () => new MountOptionsTarget(),
        ["partitions"] = static () => new PartitionsTarget(),
        ["superblocks"] = static () => new SuperblocksTarget(),
        ["elf"] = static () => new ElfTarget(),
        ["mount-table"] = static () => new MountTableTarget(),
        ["netlink"] = static () => new NetlinkTarget(),
        ["trace"] = static () => new TraceTarget(),
        ["state"] = static () => new StateTarget(),
        ["left-memory"] = static () => new LeftMemoryTarget(),
        ["psk"] = static () => new PskTarget(),
        ["certificates"] = static () => new CertificatesTarget(),
        ["tls"] = static () => new TlsTarget(),
        ["codecs"] = static () => new CodecsTarget(),
        ["map"] = static () => new MapTarget(),
        ["handshake"] = static () => new HandshakeTarget(HandshakeConversation.Go),
        ["info"] = static () => new HandshakeTarget(HandshakeConversation.Info),
        ["list"] = static () => new HandshakeTarget(HandshakeConversation.List),
        ["fuse"] = static () => new FuseTarget(),
        ["server"] = static () => new ServerTarget(),
        ["session"] = static () => new SessionTarget(),
    };

    /// <summary>Their names, in the order in which they run.</summary>
    public static IReadOnlyCollection<string> Names => Makers.Keys;

    /// <summary>Makes a target.</summary>
    /// <param name="name">One of <see cref="Names"/>.</param>
    public static IFuzzTarget Make(string name) => Makers[name]();
}
