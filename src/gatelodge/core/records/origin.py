"""The logs by name: ids that code uses, and origins that checkpoints bear."""

from msgspec import Struct

GOV = "gov"
"""The log of who may do what."""
UNROUTED = "unrouted"
"""The log of requests that reach no workspace."""
_CALLS = "calls"


def calls_log(workspace: str) -> str:
    """The id of a workspace's log of calls."""
    return f"{_CALLS}:{workspace}"


def origin_of(log: str, gate: str, shard: str = "") -> str:
    """The origin of a log of that gate, `audit.origin` or `localhost`; never change it later.

    After a restore the house goes on in a new shard of each log, under an origin that no other
    restore ever makes: `gate.example.com/gov@2-9f86d081884c7d65`, its number and a random mark.
    """
    return f"{gate or 'localhost'}/{log.replace(':', '/')}" + (f"@{shard}" if shard else "")


def shard_of(origin: str) -> str:
    """The shard in an origin; empty in those of the first."""
    return origin.rpartition("/")[2].partition("@")[2]


def number_of(shard: str) -> int:
    """The number of a shard, by which people name it; the first is 1."""
    return _shard_number_or_zero(shard) or 1


def _shard_number_or_zero(shard: str) -> int:
    number = shard.partition("-")[0] if shard else "1"
    # Not `isdigit`: that takes superscripts, at which `int` raises.
    return int(number) if number.isdecimal() else 0


class LogOrigins(Struct, frozen=True):
    """The origins of one house's present logs: its name, and the shard it writes."""

    gate: str
    shard: str = ""

    def __call__(self, log: str) -> str:
        """The origin under which this log is opened."""
        return origin_of(log, self.gate, self.shard)


def past(log: str, shard: int) -> str:
    """The id of what this log was in an earlier shard."""
    return f"{log}@{shard}"


def kind_of(log: str) -> str:
    """The id without its shard: `gov` for `gov@1`, too."""
    return log.partition("@")[0]


def is_past(log: str) -> bool:
    """True for a log of an earlier shard: it is read and proven, and never appended to."""
    return "@" in log


def belongs(log: str, origin: str) -> bool:
    """True when this can be the origin of that log: it names it, and a past one's own shard."""
    shard = shard_of(origin)
    kind, _, number = log.partition("@")
    # The id of a past log bears the number of its shard: a head of another shard is not its own.
    if number and number != str(_shard_number_or_zero(shard)):
        return False
    # Written anew from its parts and compared: an origin has one spelling.
    return origin == origin_of(kind, gate_of(origin), shard)


def gate_of(origin: str) -> str:
    """The gate whose log has this origin; empty when it is no origin of a log of ours."""
    rest, _, last = origin.rpartition("/")
    name = last.partition("@")[0]
    if name in (GOV, UNROUTED):
        return rest
    gate, _, kind = rest.rpartition("/")
    return gate if kind == _CALLS else ""
