"""Names that the fields of forms suggest to whoever may list them; any other can be written too."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from gatelodge.core.catalog.server import Server
from gatelodge.core.people import Agent, Group, Member
from gatelodge.flows.nouns import lookup
from gatelodge.flows.nouns.noun import NounVerb, VerbInput
from gatelodge.ports.store import StoreTx
from gatelodge.web.api.context import WorkspaceContext

MOST: Final = 200
"""Names that one field suggests: a page is not to grow with the house."""

Find = Callable[..., Any]
Named = type[Member] | type[Agent] | type[Group] | type[Server]

_KINDS: Final[dict[Find, tuple[Named, ...]]] = {
    lookup.member: (Member,),
    lookup.agent: (Agent,),
    lookup.group: (Group,),
    lookup.server: (Server,),
    lookup.principal: (Member, Agent),
}
"""What a name may stand for that is looked up so."""
_CALLED: Final[dict[Named, tuple[str, str]]] = {
    Member: ("email", "member.read"),
    Agent: ("name", "agent.read"),
    Group: ("name", "group.read"),
    Server: ("alias", "server.read"),
}
"""The field by which people call each, and what a role must allow to list them."""


class SuggestedNames(Struct, frozen=True):
    """What the fields of some forms suggest, by how a name is looked up.

    The names of a verb that is `narrowed` are these instead.
    """

    names: Mapping[Find, tuple[str, ...]] = {}
    narrowed: Mapping[str, Sequence[str]] = {}

    def of(self, verb: NounVerb, given: VerbInput) -> tuple[str, ...]:
        """The names for one field; none where any text will do, or the reader may list none."""
        found = () if given.by is None else self.names.get(given.by.find, ())
        return tuple(self.narrowed.get(verb.name, found)[:MOST]) if found else ()


NO_NAMES: Final = SuggestedNames()


async def suggested_names(
    place: WorkspaceContext,
    verbs: Sequence[NounVerb],
    narrowed: Mapping[str, Sequence[str]] | None = None,
) -> SuggestedNames:
    """What the fields of the forms suggest that the reader has for these verbs."""
    mine = [verb for verb in verbs if place.caller.may(verb.act)]
    finds = {each.by.find for verb in mine for each in verb.inputs if each.by is not None}
    wanted = finds & _KINDS.keys()
    if not wanted:
        return NO_NAMES

    def look(tx: StoreTx) -> dict[Find, tuple[str, ...]]:
        return {find: _names(tx, place, _KINDS[find]) for find in wanted}

    return SuggestedNames(await place.gate.read(look), narrowed or {})


async def holders_of_tokens(place: WorkspaceContext) -> dict[str, tuple[str, ...]]:
    """Whom the reader may issue a token, by the field that takes the name."""

    def look(tx: StoreTx) -> dict[str, tuple[str, ...]]:
        return {"member": _names(tx, place, (Member,)), "agent": _names(tx, place, (Agent,))}

    # A token of their own anybody may issue; whose there are else is not theirs to see.
    return await place.gate.read(look) if place.caller.may("token.issue") else {}


def _names(tx: StoreTx, place: WorkspaceContext, kinds: tuple[Named, ...]) -> tuple[str, ...]:
    found: set[str] = set()
    for kind in kinds:
        name, act = _CALLED[kind]
        rows: Sequence[Any] = tx.find(kind, workspace=place.id) if place.caller.may(act) else ()
        # Who was revoked is given nothing any more.
        found |= {getattr(row, name) for row in rows if getattr(row, "status", "") != "revoked"}
    return tuple(sorted(found)[:MOST])
