using NbdFuse.Native;

namespace NbdFuse.UnitTests.Native;

internal sealed class TestHandler(Action<EpollEvents> action) : IEventHandler
{
    public void OnEvents(EpollEvents events) => action(events);
}
