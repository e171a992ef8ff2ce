namespace NbdFuse.Client;

/// <summary>A server that has the export, and connections to it.</summary>
/// <param name="Server">Its number in the <see cref="ServerList"/>.</param>
/// <param name="Sockets">The connections: one or more.</param>
internal sealed record FoundServer(int Server, List<NegotiatedSocket> Sockets);
