using NbdFuse.Cache;

namespace NbdFuse.UnitTests.Cache;

/// <summary>The product's own policy, as a traced one.</summary>
internal sealed class StorePolicy(int capacity, bool hasLateDoor = true, bool climbs = true) : ITracedPolicy
{
    public GranuleStore Store { get; } = new(capacity, hasLateDoor, climbs);

    public bool Access(long key)
    {
        int slot = Store.FindValid(key);
        if (slot >= 0)
        {
            Store.Touch(slot);
            return true;
        }

        Store.Admit(key);
        return false;
    }
}
