namespace NbdFuse.Native.Netlink;

/// <summary>Numbers of netlink and generic netlink (linux/netlink.h, linux/genetlink.h).</summary>
public static class NetlinkConstants
{
    /// <summary>Address family (AF_NETLINK).</summary>
    public const int Family = 16;

    /// <summary>Protocol: generic netlink (NETLINK_GENERIC).</summary>
    public const int Generic = 16;

    /// <summary>Option level (SOL_NETLINK).</summary>
    public const int OptionLevel = 270;

    /// <summary>Option: join a multicast group (NETLINK_ADD_MEMBERSHIP).</summary>
    public const int AddMembership = 1;

    /// <summary>Option: acknowledgements do not repeat the request (NETLINK_CAP_ACK).</summary>
    public const int CapAck = 10;

    /// <summary>Option: acknowledgements carry texts (NETLINK_EXT_ACK).</summary>
    public const int ExtendedAck = 11;

    /// <summary>Message type: nothing (NLMSG_NOOP).</summary>
    public const ushort TypeNoop = 1;

    /// <summary>Message type: an error, or with error 0 an acknowledgement (NLMSG_ERROR).</summary>
    public const ushort TypeError = 2;

    /// <summary>Message type: end of a dump (NLMSG_DONE).</summary>
    public const ushort TypeDone = 3;

    /// <summary>Message type: messages were lost (NLMSG_OVERRUN).</summary>
    public const ushort TypeOverrun = 4;

    /// <summary>Flag of a request (NLM_F_REQUEST).</summary>
    public const ushort FlagRequest = 1;

    /// <summary>Flag: acknowledge (NLM_F_ACK).</summary>
    public const ushort FlagAck = 4;

    /// <summary>Flag of an acknowledgement that does not repeat the request (NLM_F_CAPPED).</summary>
    public const ushort FlagCapped = 0x100;

    /// <summary>Flag of an acknowledgement with attributes (NLM_F_ACK_TLVS).</summary>
    public const ushort FlagAckAttributes = 0x200;

    /// <summary>Attribute of an acknowledgement: a text (NLMSGERR_ATTR_MSG).</summary>
    public const ushort AckMessage = 1;

    /// <summary>Flag in the type of an attribute that holds attributes (NLA_F_NESTED).</summary>
    public const ushort AttributeNested = 0x8000;

    /// <summary>The type of an attribute without its flags (NLA_TYPE_MASK).</summary>
    public const ushort AttributeTypeMask = 0x3FFF;

    /// <summary>Message type of the controller that knows all families (GENL_ID_CTRL).</summary>
    public const ushort ControllerId = 0x10;

    /// <summary>Controller's command: tell about a family (CTRL_CMD_GETFAMILY).</summary>
    public const byte ControllerGetFamily = 3;

    /// <summary>Controller's attribute: number of a family (CTRL_ATTR_FAMILY_ID).</summary>
    public const ushort ControllerFamilyId = 1;

    /// <summary>Controller's attribute: name of a family (CTRL_ATTR_FAMILY_NAME).</summary>
    public const ushort ControllerFamilyName = 2;

    /// <summary>Controller's attribute: a list of multicast groups (CTRL_ATTR_MCAST_GROUPS).</summary>
    public const ushort ControllerGroups = 7;

    /// <summary>Attribute of a multicast group: its name (CTRL_ATTR_MCAST_GRP_NAME).</summary>
    public const ushort GroupName = 1;

    /// <summary>Attribute of a multicast group: its number (CTRL_ATTR_MCAST_GRP_ID).</summary>
    public const ushort GroupId = 2;
}
