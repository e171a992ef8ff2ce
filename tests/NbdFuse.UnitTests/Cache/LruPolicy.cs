namespace NbdFuse.UnitTests.Cache;

/// <summary>Least recently used: what every other policy has to beat.</summary>
internal sealed class LruPolicy(int capacity) : ITracedPolicy
{
    private readonly Dictionary<long, LinkedListNode<long>> _nodes = [];
    private readonly LinkedList<long> _order = new();

    public bool Access(long key)
    {
        if (_nodes.TryGetValue(key, out LinkedListNode<long>? node))
        {
            _order.Remove(node);
            _order.AddFirst(node);
            return true;
        }

        if (_nodes.Count == capacity)
        {
            _nodes.Remove(_order.Last!.Value);
            _order.RemoveLast();
        }

        _nodes[key] = _order.AddFirst(key);
        return false;
    }
}
