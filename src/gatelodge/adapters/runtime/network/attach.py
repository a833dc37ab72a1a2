"""The way out of an instance as its runtime opens it: after it was made, before its program runs.

A runtime with network namespaces needs four things of this room: `check_egress` before it makes
anything, `names_elsewhere` to know whether `RESOLV_CONF` is to be mounted (read-only) at
/etc/resolv.conf, `attach_egress` before the program runs, and the gate's `cut` and `close` after.
"""

import asyncio
import os
import socket
from pathlib import Path

from gatelodge.adapters.runtime.network.gate import EgressGate, open_egress_gate
from gatelodge.adapters.runtime.network.namespace import (
    connect_inside,
    open_in_namespace,
    refuse_own_network,
)
from gatelodge.config.schema import HostingSettings
from gatelodge.core.errors import UpstreamUnreachable
from gatelodge.ports.runtime import EgressReport, LaunchSpec

_DOCTOR = "See what this machine can isolate: gatelodge doctor."
_RECEIVE_SECONDS = 10.0
_MOST_TEXT = 65_536


def check_egress(spec: LaunchSpec, report: EgressReport | None) -> None:
    """Refuse an instance that may connect while nobody would record it. UpstreamUnreachable."""
    if spec.egress and report is None:
        raise UpstreamUnreachable(
            "A server with a network needs somebody who records its connections.", remedy=_DOCTOR
        )


def names_elsewhere(root: Path) -> bool:
    """Say whether the image has a file that names other name servers, so that ours covers it.

    Without one, and behind a link that leads nowhere, resolvers ask 127.0.0.1 by themselves
    (resolv.conf(5)). No link is followed: it would lead to a file of this machine.
    """
    file = root / "etc" / "resolv.conf"
    if (root / "etc").is_symlink() or file.is_symlink() or not file.is_file():
        return False
    with file.open("rb") as text:
        words = [line.split() for line in text.read(_MOST_TEXT).splitlines()]
    servers = {each[1] for each in words if len(each) > 1 and each[0] == b"nameserver"}
    return bool(servers - {b"127.0.0.1"})


class InstanceNetwork:
    """The ways in and out of one instance: its gate, and connections to its own port."""

    def __init__(self, namespace: int, gate: EgressGate | None) -> None:
        """Owns `namespace`, a descriptor."""
        self._namespace = namespace
        self.gate = gate

    async def connect(self, port: int) -> socket.socket:
        """A connection to a port of the instance's. Raises UpstreamUnreachable."""
        if self._namespace < 0:
            raise UpstreamUnreachable("The server has ended.")
        return await connect_inside(self._namespace, port)

    def cut(self) -> None:
        """End what it has connected, and let nothing new through. Idempotent."""
        if self.gate is not None:
            self.gate.cut()
        if self._namespace >= 0:
            os.close(self._namespace)
            self._namespace = -1

    async def close(self) -> None:
        """The same, and wait until it is on record, though not for ever. Idempotent."""
        self.cut()
        if self.gate is not None:
            await self.gate.close()


async def attach_network(
    namespace: int, spec: LaunchSpec, report: EgressReport | None, settings: HostingSettings
) -> InstanceNetwork:
    """The ways in and out of an instance whose program does not run yet.

    `namespace` is a descriptor of its network namespace, and stays the caller's. Whoever asked
    ends them: `cut` at once when the instance is to end, `close` once it is gone. Raises
    UpstreamUnreachable, also when that is the gate's own network.
    """
    check_egress(spec, report)
    gate = None
    if spec.egress and report is not None:
        private = settings.egress_private
        gate = await open_egress_gate(namespace, spec.egress, report, private=private)
    else:
        refuse_own_network(namespace)
        await open_in_namespace(namespace, roads=True)
    return InstanceNetwork(os.dup(namespace), gate)


def open_namespace(pid: int) -> int:
    """A descriptor of the network namespace of a process, which nobody may reap meanwhile.

    Raises UpstreamUnreachable.
    """
    try:
        return os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as gone:
        raise UpstreamUnreachable("The server ended before it had run.") from gone


async def receive_namespace(leash: socket.socket) -> int:
    """The descriptor that comes through a socket that never blocks. UpstreamUnreachable."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(leash.fileno(), readable.set)
    try:
        async with asyncio.timeout(_RECEIVE_SECONDS):
            await readable.wait()
        _, passed, _, _ = socket.recv_fds(leash, 1, 1)
    except (OSError, TimeoutError) as failed:
        raise UpstreamUnreachable("The server ended before it had run.") from failed
    finally:
        loop.remove_reader(leash.fileno())
    if not passed:
        raise UpstreamUnreachable("The server ended before it had run.")
    os.set_inheritable(passed[0], False)
    return passed[0]
