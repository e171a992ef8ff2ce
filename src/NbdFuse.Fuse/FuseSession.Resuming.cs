namespace NbdFuse.Fuse;

/// <content>Going on with a mount that another process has served: there is no INIT, and requests come once more.</content>
public sealed partial class FuseSession
{
    private void TakeOver(FuseSavedState? saved)
    {
        if (saved?.LoadNegotiation() is not { } negotiation)
        {
            return;
        }

        _negotiation = negotiation;
        saved.LoadAttributes(ref _file, ref _directory);
        _file.Size = (ulong)_size;
    }

    private void BeginReadingOnLoop()
    {
        if (!_held)
        {
            return;
        }

        _held = false;
        SetReading(!_draining && MayRead());
    }
}
