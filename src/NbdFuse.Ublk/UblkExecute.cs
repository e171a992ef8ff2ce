using NbdFuse.Native.Ublk;

namespace NbdFuse.Ublk;

/// <summary>Executes a command of /dev/ublk-control and waits for its end: <see cref="UblkControlChannel.Execute"/>, or a test.</summary>
/// <param name="operation">Encoded or legacy number of the operation.</param>
/// <param name="command">Device, queue and data.</param>
/// <param name="buffer">Memory of the command.</param>
/// <param name="cancellation">Gives the command up.</param>
/// <returns>0 or more, or a negative errno.</returns>
internal delegate int UblkExecute(
    uint operation, UblkControlCommand command, Span<byte> buffer, CancellationToken cancellation);
