namespace NbdFuse.Client;

/// <summary>A server reached by TCP.</summary>
/// <param name="Host">Name or address; IPv6 without brackets, with its zone if it has one.</param>
/// <param name="Port">1 to 65535.</param>
public sealed record TcpTarget(string Host, int Port) : NbdTarget
{
    /// <inheritdoc/>
    public override bool CanOpenMore => true;

    /// <inheritdoc/>
    public override string ToString() => Host.Contains(':') ? $"[{Clean(Host)}]:{Port}" : $"{Clean(Host)}:{Port}";
}
