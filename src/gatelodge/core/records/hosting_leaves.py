"""The leaves of what the gate hosts: instances, how they were found isolated, and what they reach.

They stand in the `calls` log of the server's workspace, beside the calls. An instance that belongs
to one principal commits to its owner (`actor_c`) as a call does to its caller.
"""

from typing import Literal

from gatelodge.core.records.leaf import Later, LogLeaf, always

StopReason = Literal[
    "exit",
    "signal",
    "out_of_memory",
    "stopped",
    "replaced",
    "idle",
    "revoked",
    "killed",
    "isolation",
    "gate_stopped",
    "gateway_restart",
    "node_lost",
]
"""Why an instance ended: the first three by itself, the last two unseen, with the gate; `isolation`
= it was found otherwise than its tier promises while it ran."""

InstanceRefusal = Literal["isolation", "start"]
"""Why an instance was refused; `isolation` = it was started, found wanting, and ended before a byte
reached it; `start` = nothing could start it as it has to be."""

HOSTING_MEANINGS: dict[str, str] = {
    "connection": "The connection's id: that of its instance, a full stop and its number.",
    "deviations": "What was found otherwise than the tier promises.",
    "facts": "What was read back from the kernel or the engine, each as "
    "`name=value` (`core.hosting.facts`).",
    "host": "The name that was connected to; empty where it is none of those that an admin "
    "allowed, since it may hold a part of a payload then.",
    "image": "The digest of the image's manifest; empty = a program of the gate's machine.",
    "instance": "The instance's id; its first six bytes are the time in milliseconds.",
    "limits": "What it may take: memory, processors, processes, temporary files.",
    "port": "The port that was connected to; 0 where the host is empty.",
    "received": "Bytes that came from the network.",
    "runtime": "What runs it, with its version.",
    "secrets": "The secrets that it was given, by name, way and where each is kept "
    "(`TOKEN:env:vault`, `KEY:file:file`).",
    "sent": "Bytes that went to the network.",
    "status": "Its exit status, or the number of the signal that ended it.",
    "tier": "How far it is isolated, as found: `none`, `weak`, `standard` or `strong`.",
    "wanted": "The least isolation that its approved definition asks for.",
}
"""What the fields say that stand in no other leaf."""


class InstanceStarted(LogLeaf, kw_only=True):
    """An instance of a server runs, and its isolation was read back and found as its tier promises.

    Durable before a byte reaches it. `actor_c` when the instance is one principal's own.
    """

    opens = "instance"

    actor_c: str = ""
    at: Later = ""
    facts: str
    image: str = ""
    instance: Later = ""
    limits: str = ""
    node: Later = ""
    runtime: str
    secrets: str = ""
    server: str
    t: str = always("instance.started")
    tier: str
    v: int = always(1)
    wanted: str


class InstanceRefused(LogLeaf, kw_only=True):
    """An instance was not let run; nothing of it is left. `facts` of one that had been started."""

    actor_c: str = ""
    at: Later = ""
    deviations: str = ""
    facts: str = ""
    image: str = ""
    node: Later = ""
    reason: InstanceRefusal
    runtime: str = ""
    server: str
    t: str = always("instance.refused")
    tier: str = ""
    v: int = always(1)
    wanted: str


class InstanceAttested(LogLeaf, kw_only=True):
    """Somebody asked what holds a running instance, and it was read anew from kernel or engine.

    With `deviations` it was ended at once.
    """

    at: Later = ""
    deviations: str = ""
    facts: str
    instance: str
    node: Later = ""
    runtime: str
    server: str
    t: str = always("instance.attested")
    tier: str
    v: int = always(1)
    wanted: str


class InstanceWoken(LogLeaf, kw_only=True):
    """A paused instance was needed, and goes on since then; `ms` is how long it stood still.

    Who had it paused stands in the `gov` log (`instance.paused`).
    """

    at: Later = ""
    instance: str
    ms: int
    node: Later = ""
    server: str
    t: str = always("instance.woken")
    v: int = always(1)


class InstanceStopped(LogLeaf, kw_only=True):
    """An instance is gone, with all that it started; closes the `instance.started` of it."""

    closes = "instance"
    late = "instance.late"

    at: Later = ""
    instance: str
    ms: int
    node: Later = ""
    reason: StopReason
    status: int | None = None
    t: str = always("instance.stopped")
    v: int = always(1)


class InstanceLate(InstanceStopped, kw_only=True):
    """The end of an instance that had been closed for its lost node; closes nothing."""

    closes = late = ""
    t: str = always("instance.late")


class EgressOpened(LogLeaf, kw_only=True):
    """An instance is about to be connected to a place that an admin allowed it.

    Durable before anything is connected.
    """

    opens = "connection"

    at: Later = ""
    connection: str
    host: str
    node: Later = ""
    port: int
    server: str
    t: str = always("egress.opened")
    v: int = always(1)


class EgressClosed(LogLeaf, kw_only=True):
    """A connection of an instance ended; closes the `egress.opened` of it."""

    closes = "connection"
    late = "egress.late"

    at: Later = ""
    connection: str
    ms: int
    node: Later = ""
    reason: Literal["closed", "failed", "instance_ended", "gateway_restart", "node_lost"]
    received: int = 0
    sent: int = 0
    t: str = always("egress.closed")
    v: int = always(1)


class EgressLate(EgressClosed, kw_only=True):
    """The end of a connection that had been closed for its lost node; closes nothing."""

    closes = late = ""
    t: str = always("egress.late")


class EgressRefused(LogLeaf, kw_only=True):
    """An instance wanted to connect to what it may not; many are one leaf with their `count`.

    `connection` is the last of them.
    """

    at: Later = ""
    connection: str
    count: int = 1
    host: str = ""
    node: Later = ""
    port: int = 0
    server: str
    t: str = always("egress.refused")
    v: int = always(1)
    window_ms: int = 0


HostingLeaf = (
    InstanceStarted
    | InstanceRefused
    | InstanceAttested
    | InstanceWoken
    | InstanceStopped
    | EgressOpened
    | EgressClosed
    | EgressRefused
)
"""What is recorded of instances as it happens."""
