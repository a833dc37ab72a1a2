"""A question to the records as the page shows it: its filters, and the addresses of its neighbours.

Every state is an address, so a question is kept, sent and gone back to as one.
"""

from typing import Final
from urllib.parse import urlencode

from msgspec import Struct
from msgspec.structs import asdict, replace

from gatelodge.core.catalog.server import Server
from gatelodge.core.people import Agent, Group, Member
from gatelodge.flows.audit.outcome import OUTCOMES
from gatelodge.flows.nouns import lookup
from gatelodge.ports.store import StoreTx
from gatelodge.web.api.context import WorkspaceContext
from gatelodge.web.api.record.filters import RecordTimes

SPANS: Final = (("1h", "Hour"), ("1d", "Day"), ("7d", "Week"), ("30d", "Month"), ("", "Ever"))
"""How far back, in the words of the filter and of the page."""
SELDOM: Final = ("group", "rule", "type", "client", "credential", "call", "shard")
"""Filters that are folded away while nobody uses them."""
_MOST_NAMES: Final = 500


class NamesToChoose(Struct, frozen=True, kw_only=True):
    """What the fields offer; anything else can be written as well."""

    members: tuple[str, ...]
    agents: tuple[str, ...]
    groups: tuple[str, ...]
    servers: tuple[str, ...]
    outcomes: tuple[str, ...] = OUTCOMES


class AskedQuestion:
    """One question of a page, which it names in links."""

    def __init__(self, sought: RecordTimes) -> None:
        self._sought = sought

    def link(self, **changed: object) -> str:
        """The query of the same question with some of it changed; an empty value takes it away.

        It begins anew at the newest record, unless `cursor` says where.
        """
        known = {name: changed.pop(name) for name in [*changed] if hasattr(self._sought, name)}
        wanted = {**asdict(replace(self._sought, **known)), **changed}
        return urlencode({name: value for name, value in wanted.items() if value})

    @property
    def filters(self) -> dict[str, object]:
        """The filters that are set, by their names."""
        return {name: value for name, value in asdict(self._sought).items() if value}

    @property
    def unfolded(self) -> bool:
        """True when one is set that is folded away otherwise."""
        return any(name in SELDOM for name in self.filters)


def names_to_choose(tx: StoreTx, place: WorkspaceContext) -> NamesToChoose:
    """The names of the workspace, of those who have gone too: they have records."""

    def named(kind: type[Member | Agent | Group | Server]) -> tuple[str, ...]:
        # A page is not to grow with the house; who is not offered is typed.
        return tuple(sorted(set(lookup.names(tx, place.id, kind).values())))[:_MOST_NAMES]

    return NamesToChoose(
        members=named(Member), agents=named(Agent), groups=named(Group), servers=named(Server)
    )
