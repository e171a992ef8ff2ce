namespace NbdFuse.Native;

/// <summary>Receives the events of a descriptor, on the loop's thread.</summary>
public interface IEventHandler
{
    /// <summary>The descriptor is ready. Never called after the handler's removal, not even within the same batch of events.</summary>
    /// <param name="events">What holds; may contain Err and Hup unasked.</param>
    void OnEvents(EpollEvents events);
}
