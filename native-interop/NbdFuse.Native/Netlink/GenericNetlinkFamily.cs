namespace NbdFuse.Native.Netlink;

/// <summary>A family of generic netlink, as the controller tells of it.</summary>
/// <param name="Id">Its number: the type of its messages.</param>
/// <param name="Groups">Its multicast groups by name.</param>
public sealed record GenericNetlinkFamily(ushort Id, IReadOnlyDictionary<string, uint> Groups)
{
    private const int MaximumGroups = 64;

    /// <summary>Reads the controller's answer.</summary>
    /// <param name="attributes">Its attributes.</param>
    /// <returns>Null when it names no family.</returns>
    public static GenericNetlinkFamily? Parse(ReadOnlySpan<byte> attributes)
    {
        ushort id = 0;
        Dictionary<string, uint> groups = new(StringComparer.Ordinal);
        var walk = new NetlinkAttributes(attributes);
        while (walk.MoveNext())
        {
            if (walk.Type == NetlinkConstants.ControllerFamilyId)
            {
                walk.TryRead(out id);
            }
            else if (walk.Type == NetlinkConstants.ControllerGroups)
            {
                AddGroups(walk.Value, groups);
            }
        }

        // Below are the message types that every protocol has.
        return walk.IsMalformed || id < NetlinkConstants.ControllerId ? null : new GenericNetlinkFamily(id, groups);
    }

    private static void AddGroups(ReadOnlySpan<byte> list, Dictionary<string, uint> groups)
    {
        var walk = new NetlinkAttributes(list);
        while (walk.MoveNext() && groups.Count < MaximumGroups)
        {
            string name = string.Empty;
            uint id = 0;
            var group = new NetlinkAttributes(walk.Value);
            while (group.MoveNext())
            {
                if (group.Type == NetlinkConstants.GroupName)
                {
                    group.TryReadText(out name);
                }
                else if (group.Type == NetlinkConstants.GroupId)
                {
                    group.TryRead(out id);
                }
            }

            if (name.Length > 0 && id > 0)
            {
                groups[name] = id;
            }
        }
    }
}
