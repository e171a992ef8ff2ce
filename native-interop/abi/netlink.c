/* Generic netlink and the kernel's nbd driver. */
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <linux/netlink.h>
#include <linux/genetlink.h>
#include <linux/nbd.h>
#include <linux/nbd-netlink.h>
#include "abi-dump.h"

#ifndef SOL_NETLINK
#define SOL_NETLINK 270
#endif

void dump_netlink(void)
{
    STRUCT("NetlinkHeader", struct nlmsghdr);
    FIELD("NetlinkHeader.Length", struct nlmsghdr, nlmsg_len);
    FIELD("NetlinkHeader.Type", struct nlmsghdr, nlmsg_type);
    FIELD("NetlinkHeader.Flags", struct nlmsghdr, nlmsg_flags);
    FIELD("NetlinkHeader.Sequence", struct nlmsghdr, nlmsg_seq);
    FIELD("NetlinkHeader.PortId", struct nlmsghdr, nlmsg_pid);

    STRUCT("GenericNetlinkHeader", struct genlmsghdr);
    FIELD("GenericNetlinkHeader.Command", struct genlmsghdr, cmd);
    FIELD("GenericNetlinkHeader.Version", struct genlmsghdr, version);
    FIELD("GenericNetlinkHeader.Reserved", struct genlmsghdr, reserved);

    STRUCT("NetlinkAttributeHeader", struct nlattr);
    FIELD("NetlinkAttributeHeader.Length", struct nlattr, nla_len);
    FIELD("NetlinkAttributeHeader.Type", struct nlattr, nla_type);

    CONST("NetlinkConstants.Family", AF_NETLINK);
    CONST("NetlinkConstants.Generic", NETLINK_GENERIC);
    CONST("NetlinkConstants.OptionLevel", SOL_NETLINK);
    CONST("NetlinkConstants.AddMembership", NETLINK_ADD_MEMBERSHIP);
    CONST("NetlinkConstants.CapAck", NETLINK_CAP_ACK);
    CONST("NetlinkConstants.ExtendedAck", NETLINK_EXT_ACK);
    CONST("NetlinkConstants.TypeNoop", NLMSG_NOOP);
    CONST("NetlinkConstants.TypeError", NLMSG_ERROR);
    CONST("NetlinkConstants.TypeDone", NLMSG_DONE);
    CONST("NetlinkConstants.TypeOverrun", NLMSG_OVERRUN);
    CONST("NetlinkConstants.FlagRequest", NLM_F_REQUEST);
    CONST("NetlinkConstants.FlagAck", NLM_F_ACK);
    CONST("NetlinkConstants.FlagCapped", NLM_F_CAPPED);
    CONST("NetlinkConstants.FlagAckAttributes", NLM_F_ACK_TLVS);
    CONST("NetlinkConstants.AckMessage", NLMSGERR_ATTR_MSG);
    CONST("NetlinkConstants.AttributeNested", NLA_F_NESTED);
    CONST("NetlinkConstants.AttributeTypeMask", (uint16_t)NLA_TYPE_MASK);
    CONST("NetlinkConstants.ControllerId", GENL_ID_CTRL);
    CONST("NetlinkConstants.ControllerGetFamily", CTRL_CMD_GETFAMILY);
    CONST("NetlinkConstants.ControllerFamilyId", CTRL_ATTR_FAMILY_ID);
    CONST("NetlinkConstants.ControllerFamilyName", CTRL_ATTR_FAMILY_NAME);
    CONST("NetlinkConstants.ControllerGroups", CTRL_ATTR_MCAST_GROUPS);
    CONST("NetlinkConstants.GroupName", CTRL_ATTR_MCAST_GRP_NAME);
    CONST("NetlinkConstants.GroupId", CTRL_ATTR_MCAST_GRP_ID);

    CONST("NbdNetlinkConstants.Version", NBD_GENL_VERSION);
    CONST("NbdNetlinkConstants.CommandConnect", NBD_CMD_CONNECT);
    CONST("NbdNetlinkConstants.CommandDisconnect", NBD_CMD_DISCONNECT);
    CONST("NbdNetlinkConstants.CommandReconfigure", NBD_CMD_RECONFIGURE);
    CONST("NbdNetlinkConstants.CommandLinkDead", NBD_CMD_LINK_DEAD);
    CONST("NbdNetlinkConstants.CommandStatus", NBD_CMD_STATUS);
    CONST("NbdNetlinkConstants.AttributeIndex", NBD_ATTR_INDEX);
    CONST("NbdNetlinkConstants.AttributeSizeBytes", NBD_ATTR_SIZE_BYTES);
    CONST("NbdNetlinkConstants.AttributeBlockSizeBytes", NBD_ATTR_BLOCK_SIZE_BYTES);
    CONST("NbdNetlinkConstants.AttributeTimeout", NBD_ATTR_TIMEOUT);
    CONST("NbdNetlinkConstants.AttributeServerFlags", NBD_ATTR_SERVER_FLAGS);
    CONST("NbdNetlinkConstants.AttributeClientFlags", NBD_ATTR_CLIENT_FLAGS);
    CONST("NbdNetlinkConstants.AttributeSockets", NBD_ATTR_SOCKETS);
    CONST("NbdNetlinkConstants.AttributeDeadConnectionTimeout", NBD_ATTR_DEAD_CONN_TIMEOUT);
    CONST("NbdNetlinkConstants.AttributeDeviceList", NBD_ATTR_DEVICE_LIST);
    CONST("NbdNetlinkConstants.AttributeBackendIdentifier", NBD_ATTR_BACKEND_IDENTIFIER);
    CONST("NbdNetlinkConstants.DeviceItem", NBD_DEVICE_ITEM);
    CONST("NbdNetlinkConstants.DeviceIndex", NBD_DEVICE_INDEX);
    CONST("NbdNetlinkConstants.DeviceConnected", NBD_DEVICE_CONNECTED);
    CONST("NbdNetlinkConstants.SocketItem", NBD_SOCK_ITEM);
    CONST("NbdNetlinkConstants.SocketDescriptor", NBD_SOCK_FD);
    CONST("NbdNetlinkConstants.DestroyOnDisconnect", NBD_CFLAG_DESTROY_ON_DISCONNECT);
    CONST("NbdNetlinkConstants.DisconnectOnClose", NBD_CFLAG_DISCONNECT_ON_CLOSE);
    CONST("NbdNetlinkConstants.SetSocket", NBD_SET_SOCK);
    CONST("NbdNetlinkConstants.SetBlockSize", NBD_SET_BLKSIZE);
    CONST("NbdNetlinkConstants.DoIt", NBD_DO_IT);
    CONST("NbdNetlinkConstants.ClearSockets", NBD_CLEAR_SOCK);
    CONST("NbdNetlinkConstants.SetSizeBlocks", NBD_SET_SIZE_BLOCKS);
    CONST("NbdNetlinkConstants.Disconnect", NBD_DISCONNECT);
    CONST("NbdNetlinkConstants.SetTimeout", NBD_SET_TIMEOUT);
    CONST("NbdNetlinkConstants.SetFlags", NBD_SET_FLAGS);
}
