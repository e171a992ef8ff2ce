using NbdFuse.Native;

namespace NbdFuse.UnitTests.Native;

internal sealed class TestHook(Action action) : ITurnHook
{
    public bool Spin { get; set; }

    public bool WantsSpin => Spin;

    public void OnTurnEnd() => action();
}
