"""What the log says of servers' instances, hour by hour: that one ran, and what went wrong.

An end that nobody saw (its node was lost) tells nothing of the hours before it, and an hour of
which not every leaf was read may hold an end: beyond such a place nothing is said to run.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct, field

from gatelodge.core.errors import Invalid
from gatelodge.core.ids import Instant
from gatelodge.core.instant import parse_rfc3339, rfc3339
from gatelodge.flows.audit.reading import Fields, fields, made_at
from gatelodge.ports.journal import Ledger

HOUR_US: Final = 3_600_000_000
_BY_ITSELF: Final = frozenset(("exit", "signal", "out_of_memory", "isolation"))
"""Why an instance ended that should not have."""
_UNSEEN: Final = frozenset(("gateway_restart", "node_lost"))
_MOST_SOUGHT: Final = 16
"""Beginnings that one question looks for, each at its time."""
_START_US: Final = 120_000_000
"""How long after its id was made an instance is on record, at most."""
_NEAR: Final = 16_384
"""Leaves that are looked through for one beginning."""


class InstanceEnd(Struct):
    """An instance that ended: why, of which server it was and since when, once that is known."""

    reason: str
    server: str = ""
    began: Instant | None = None
    sought: bool = False

    @property
    def seen(self) -> bool:
        """True when it is known to have run until it ended."""
        return self.reason not in _UNSEEN


class HourInstances(Struct):
    """One hour: what its leaves say, and the instances that began or ended in it but not both."""

    start: Instant
    ran: set[str] = field(default_factory=set)
    troubles: Counter[str] = field(default_factory=Counter)
    began: dict[str, str] = field(default_factory=dict)
    ended: dict[str, InstanceEnd] = field(default_factory=dict)

    def take(self, here: Fields) -> None:
        """Count a leaf of this hour; most are about something else."""
        kind = here.get("t")
        instance, server = str(here.get("instance", "")), str(here.get("server", ""))
        if kind == "instance.started":
            self.ran.add(server)
            self.began[instance] = server
        elif kind == "instance.woken":
            self.ran.add(server)
        elif kind == "instance.refused":
            self.troubles[server] += 1
        elif kind == "instance.stopped":
            reason = str(here.get("reason", ""))
            known = self.began.pop(instance, "")
            if not known:
                self.ended[instance] = InstanceEnd(reason)
            elif reason in _BY_ITSELF:
                self.troubles[known] += 1


class HourOfServer(Struct, frozen=True):
    """One hour of one server: whether an instance ran, and how many went wrong.

    `troubles` were refused, or ended by themselves.
    """

    ran: bool = False
    troubles: int = 0


async def name_ended(ledger: Ledger, log: str, hours: Sequence[HourInstances]) -> None:
    """Find out whose instances ended: by the hours themselves, and some by the log before them."""
    began = {name: (at, each.start) for each in hours for name, at in each.began.items()}
    left = _MOST_SOUGHT
    for hour in reversed(hours):
        for name, end in hour.ended.items():
            if end.server:
                continue
            if name in began:
                end.server, end.began = began[name]
            elif not end.sought and left:
                left -= 1
                end.sought = True
                end.server, end.began = await _beginning(ledger, log, name)


def hours_of_servers(
    hours: Sequence[HourInstances],
    whole: Sequence[bool],
    live: Sequence[tuple[str, Instant]],
) -> dict[str, list[HourOfServer]]:
    """Each server's hours, of those that are told of at all.

    `whole` says which hours were read to their last leaf, `live` which servers have an instance
    that runs now, and since when.
    """
    ran = [set(each.ran) for each in hours]
    troubles = [Counter(each.troubles) for each in hours]
    for at, server in _known_to_run(hours, whole, live):
        ran[at].add(server)
    for at, hour in enumerate(hours):
        for end in hour.ended.values():
            if end.server and end.reason in _BY_ITSELF:
                troubles[at][end.server] += 1
    servers = set().union(*ran, *troubles) - {""}
    return {
        server: [
            HourOfServer(server in here, wrong[server])
            for here, wrong in zip(ran, troubles, strict=True)
        ]
        for server in servers
    }


def _known_to_run(
    hours: Sequence[HourInstances], whole: Sequence[bool], live: Sequence[tuple[str, Instant]]
) -> Iterator[tuple[int, str]]:
    """Places of hours in which an instance of a server ran that began before them."""
    ended = {name for each in hours for name in each.ended}
    for at, hour in enumerate(hours):
        for name, server in hour.began.items():
            later = at + 1
            # It goes on while each hour was read to its end, and no end of it stood there.
            while name not in ended and later < len(hours) and whole[later - 1]:
                yield later, server
                later += 1
        for end in hour.ended.values():
            if end.seen and end.server and end.began is not None:
                yield from ((each, end.server) for each in _since(hours[: at + 1], end.began))
    for server, began in live:
        yield from ((each, server) for each in _since(hours, began))


def _since(hours: Sequence[HourInstances], began: Instant) -> Iterator[int]:
    return (at for at, each in enumerate(hours) if each.start + HOUR_US > began)


async def _beginning(ledger: Ledger, log: str, name: str) -> tuple[str, Instant | None]:
    """The server of an instance and when it began; nothing where its leaf is not found near."""
    try:
        made = made_at("c" + name[1:])
    except Invalid:
        return "", None
    low = await ledger.seek(log, rfc3339(Instant(made)))
    high = await ledger.seek_end(log, rfc3339(Instant(made + _START_US)))
    wanted = f'"instance":"{name}"'
    for leaf in await ledger.containing(log, wanted, (low, min(high, low + _NEAR)), 8):
        here = fields(leaf)
        if here.get("t") == "instance.started":
            return str(here.get("server", "")), parse_rfc3339(str(here.get("at")))
    return "", None
