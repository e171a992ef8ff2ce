using Microsoft.Extensions.Logging;

namespace NbdFuse.Cli;

/// <summary>Tells by the pidfile and to systemd.</summary>
/// <param name="pidFile">The file for the process id of this process, or null.</param>
internal sealed class OwnHost(string? pidFile) : IMountHost
{
    /// <inheritdoc/>
    public void Usable(string path, ILogger logger)
    {
        PidFile.Write(pidFile);
        Notify(ServiceStatus.Usable(path), logger);
    }

    /// <inheritdoc/>
    public void Notify(string state, ILogger logger) => SystemdNotifier.Notify(state, logger);
}
