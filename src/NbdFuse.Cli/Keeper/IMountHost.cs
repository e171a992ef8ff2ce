using Microsoft.Extensions.Logging;

namespace NbdFuse.Cli;

/// <summary>Who is told how far a mount is.</summary>
internal interface IMountHost
{
    /// <summary>The file can be used.</summary>
    /// <param name="path">Its path.</param>
    /// <param name="logger">Hears of what goes wrong and does not matter much.</param>
    /// <exception cref="IOException">Whoever waits for it cannot be told.</exception>
    void Usable(string path, ILogger logger);

    /// <summary>A state for systemd (sd_notify(3)).</summary>
    /// <param name="state">Lines of NAME=VALUE.</param>
    /// <param name="logger">Hears of what goes wrong and does not matter much.</param>
    void Notify(string state, ILogger logger);
}
