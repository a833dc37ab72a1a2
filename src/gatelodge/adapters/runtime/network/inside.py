"""Makes sockets in another network namespace: as a function of a thread, or as a program by itself.

`inside.py SOCKET NAMESPACE ORDER`, run by its path with the standard library alone, enters the user
namespace that owns the network namespace (which needs a process with one thread), makes what the
order says, and sends the descriptors through the socket. A crash leaves nothing: sockets that
nobody was sent close with the process.
"""

import array
import ctypes
import errno
import fcntl
import json
import os
import socket
import struct
import sys
from typing import TypedDict

SYNTHETIC_NETWORK = "198.18.0.0"
SYNTHETIC_BITS = 15
"""Set aside for measurements between networks (RFC 2544): nothing real has an address of it."""
_DNS_PORT = 53
_BACKLOG = 64
_CONNECT_SECONDS = 5.0
_NEW_USER, _NEW_NET = 0x1000_0000, 0x4000_0000
_GET_OWNER = 0xB701
"""NS_GET_USERNS (ioctl_ns(2))."""
_GET_FLAGS, _SET_FLAGS, _IS_UP = 0x8913, 0x8914, 1
"""SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP (netdevice(7))."""
_NEW_ROUTE, _ERROR = 24, 2
_ASKED = 0x0001 | 0x0004 | 0x0400
"""NLM_F_REQUEST, NLM_F_ACK, NLM_F_CREATE (netlink(7))."""


class SocketOrder(TypedDict):
    """What shall be made, in this order.

    The roads of `lo`, two sockets for DNS, a listener for each port, a connection to each port of
    the instance's own.
    """

    roads: bool
    names: bool
    listen: list[int]
    connect: list[int]


def make_sockets(order: SocketOrder) -> list[socket.socket]:
    """All sockets of the order, in the namespace of this thread. Raises OSError, leaving none."""
    made: list[socket.socket] = []
    try:
        if order["roads"]:
            _lift_loopback()
            _route_synthetic_network()
        if order["names"]:
            made.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            # Little waits: what floods is dropped by the kernel, not by the gate.
            made[-1].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
            made[-1].bind(("127.0.0.1", _DNS_PORT))
            made.append(_listening_socket("127.0.0.1", _DNS_PORT))
        # One by one: what was made before a fault is closed.
        for port in order["listen"]:
            made.append(_listening_socket("0.0.0.0", port))  # noqa: PERF401, S104 - in the namespace
        for port in order["connect"]:
            made.append(socket.create_connection(("127.0.0.1", port), _CONNECT_SECONDS))  # noqa: PERF401
    except BaseException:
        for each in made:
            each.close()
        raise
    return made


def enter_network(namespace: int) -> None:
    """Move this thread into a network namespace, for good. Raises OSError."""
    _enter_namespace(namespace, _NEW_NET)


def _listening_socket(host: str, port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(_BACKLOG)
    except BaseException:
        made.close()
        raise
    return made


def _lift_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asked = struct.pack("16sH14x", b"lo", 0)
        flags: int = struct.unpack_from("16sH", fcntl.ioctl(asking, _GET_FLAGS, asked))[1]
        fcntl.ioctl(asking, _SET_FLAGS, struct.pack("16sH14x", b"lo", flags | _IS_UP))


def _route_synthetic_network() -> None:
    """Make each address of the network one of this machine's own: `ip route add local ... dev lo`.

    A message of rtnetlink(7) by hand: the program `ip` is not everywhere.
    """
    local_table, static, host_scope, local_route = 255, 4, 254, 2
    route = struct.pack(
        "8BI", socket.AF_INET, SYNTHETIC_BITS, 0, 0, local_table, static, host_scope, local_route, 0
    )
    route += struct.pack("HH4s", 8, 1, socket.inet_aton(SYNTHETIC_NETWORK))  # RTA_DST
    route += struct.pack("HHI", 8, 4, socket.if_nametoindex("lo"))  # RTA_OIF
    head = struct.pack("IHHII", 16 + len(route), _NEW_ROUTE, _ASKED, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.settimeout(_CONNECT_SECONDS)
        kernel.bind((0, 0))
        kernel.send(head + route)
        kind, fault = struct.unpack_from("4xH10xi", kernel.recv(8192))
    if kind != _ERROR or fault not in (0, -errno.EEXIST):
        number = -fault if kind == _ERROR else errno.EPROTO
        raise OSError(number, os.strerror(number))


def _enter_namespace(namespace: int, kind: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, kind):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def main(leash: int, namespace: int, words: str) -> None:
    """Send what the order says, or the number of the error."""
    with socket.socket(fileno=leash) as gate:
        try:
            # Ours already when the gate may change it: then only the network is entered.
            owner = fcntl.ioctl(namespace, _GET_OWNER)
            if not os.path.sameopenfile(owner, os.open("/proc/self/ns/user", os.O_RDONLY)):
                _enter_namespace(owner, _NEW_USER)
            enter_network(namespace)
            made = make_sockets(json.loads(words))
        except OSError as fault:
            gate.sendall(str(fault.errno or errno.EIO).encode())
            return
        numbers = array.array("i", [each.fileno() for each in made])
        gate.sendmsg([b"0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, numbers)])


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
