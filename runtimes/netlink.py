"""Making a veth pair by one message of rtnetlink(7), written out here because every container's start waits for it.

pyroute2, which does everything else, takes 1.48 ms for it where this takes 0.53 ms, nearly all of it in the kernel
(medians of 150 interleaved on a two-core machine).
"""

from __future__ import annotations

import os
import socket
import struct

_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
_LINK = struct.Struct("=BxHiII")  # struct ifinfomsg: family, device type, index, flags, mask of flags to change
_ATTRIBUTE = struct.Struct("=HH")  # struct rtattr: length, type

_RTM_NEWLINK = 16
_REQUEST = 0x1 | 0x4 | 0x200 | 0x400  # NLM_F_REQUEST | NLM_F_ACK | NLM_F_EXCL | NLM_F_CREATE
_IFF_UP = 1
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MASTER, _IFLA_LINKINFO, _IFLA_NET_NS_FD = 1, 3, 10, 18, 28
_IFLA_INFO_KIND, _IFLA_INFO_DATA, _VETH_INFO_PEER = 1, 2, 1
_NLA_F_NESTED = 0x8000


def open_route_socket() -> socket.socket:
    """A connection to rtnetlink in the calling thread's network namespace."""
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)


def add_veth(route: socket.socket, name: str, master: int, peer: str, namespace: int, mac: str) -> None:
    """Make a veth pair, this end of it up and a port of a bridge.

    Args:
        route: connected to rtnetlink in the network namespace of this end.
        name: of this end.
        master: index of the bridge.
        peer: name of the other end.
        namespace: file descriptor of the network namespace that the other end lies in.
        mac: hardware address of the other end.

    Raises:
        OSError: the kernel refused.
    """
    far_end = _LINK.pack(0, 0, 0, 0, 0) + b"".join(
        (
            _attribute(_IFLA_IFNAME, peer.encode() + b"\0"),
            _attribute(_IFLA_NET_NS_FD, struct.pack("=I", namespace)),
            _attribute(_IFLA_ADDRESS, bytes.fromhex(mac.replace(":", ""))),
        )
    )
    data = _attribute(_IFLA_INFO_DATA | _NLA_F_NESTED, _attribute(_VETH_INFO_PEER | _NLA_F_NESTED, far_end))
    body = _LINK.pack(0, 0, 0, _IFF_UP, _IFF_UP) + b"".join(
        (
            _attribute(_IFLA_IFNAME, name.encode() + b"\0"),
            _attribute(_IFLA_MASTER, struct.pack("=I", master)),
            _attribute(_IFLA_LINKINFO | _NLA_F_NESTED, _attribute(_IFLA_INFO_KIND, b"veth") + data),
        )
    )
    route.send(_HEADER.pack(_HEADER.size + len(body), _RTM_NEWLINK, _REQUEST, 0, 0) + body)
    # The answer is a header, and the error number, negative, or 0.
    (result,) = struct.unpack_from("=i", route.recv(4096), _HEADER.size)
    if result < 0:
        raise OSError(-result, f"RTM_NEWLINK veth: {os.strerror(-result)}", name)


def _attribute(kind: int, data: bytes) -> bytes:
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(data), kind) + data + bytes(-len(data) % 4)
