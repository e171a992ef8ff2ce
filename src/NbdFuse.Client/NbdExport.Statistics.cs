using NbdFuse.Client.Transmission;

namespace NbdFuse.Client;

/// <content>Counters.</content>
public sealed partial class NbdExport
{
    /// <summary>Runs an action on the export's loop, soon: who gets an answer knows that the loop lives. On any thread.</summary>
    /// <param name="action">The action; it must neither block nor throw.</param>
    /// <returns>False when there is no loop yet, or no more.</returns>
    public bool Post(Action action) => _loop?.Post(action) ?? false;

    /// <summary>
    /// What each connection of the present run of the server has done; empty while there is none. May be asked on any thread.
    /// </summary>
    public IReadOnlyList<NbdConnectionStatistics> ConnectionStatistics
    {
        get
        {
            // Connections are replaced, never changed in place: whoever reads has a list of some moment.
            if (Volatile.Read(ref _set) is not { } set)
            {
                return [];
            }

            IReadOnlyList<NbdConnection> all = set.All;
            var result = new NbdConnectionStatistics[all.Count];
            for (int i = 0; i < result.Length; i++)
            {
                NbdConnection connection = all[i];
                result[i] = new NbdConnectionStatistics(
                    set.Generation, !connection.IsClosed, connection.InFlight, connection.Requests, connection.ReadBytes, connection.WrittenBytes);
            }

            return result;
        }
    }
}
