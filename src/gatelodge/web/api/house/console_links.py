"""A link into the console, for the operator on the gate's own machine."""

from litestar import post
from msgspec import Struct

from gatelodge.config.schema import ListenSettings
from gatelodge.core.errors import Conflict
from gatelodge.core.http.authority import reached_here
from gatelodge.core.people import Member
from gatelodge.flows.identity.console import LINK_SECONDS, ConsoleLinks, LinkHolder, the_owner
from gatelodge.flows.nouns import lookup
from gatelodge.ports.store import StoreTx
from gatelodge.web.api.authentication import LOCAL_ONLY
from gatelodge.web.api.parameters import Here, JSONBody


class LinkWish(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """As whom the operator wants to come in: an e-mail address; empty = the only owner."""

    member: str = ""


class ConsoleLink(Struct, frozen=True, kw_only=True):
    """Where to go, good once; whoever has it comes in as `member`.

    The code stands behind a `#`, which no browser sends and no log of a proxy holds. `url` begins
    with its path where the port is one that the system chose (`listen.port = 0`).
    """

    member: str
    url: str
    seconds: float


@post("/console/links", opt={"act": LOCAL_ONLY})
async def link(place: Here, data: JSONBody[LinkWish]) -> ConsoleLink:
    """Make a link that opens the console once, as a member."""
    gate = place.gate
    if gate.idle:
        raise Conflict("no gate serves here now", remedy="Start it: gatelodge up")

    def find(tx: StoreTx) -> Member:
        if data.member:
            return lookup.member(tx, place.id, data.member)
        return the_owner(tx, place.id)

    member = await gate.read(find)
    links = ConsoleLinks(gate.ephemeral, gate.ids, gate.peppers)
    code = await links.make(LinkHolder(place.id, member.id, place.caller.by))
    url = f"{_address(gate.settings.listen)}/console/enter#{code}"
    return ConsoleLink(member=member.email, url=url, seconds=LINK_SECONDS)


def _address(listen: ListenSettings) -> str:
    """The origin of the console, empty where nobody chose its port."""
    apart = listen.admin_port >= 0
    if listen.public_url and not apart:
        return listen.public_url.rstrip("/")
    port = listen.admin_port if apart else listen.port
    return f"http://{reached_here(listen.host)}:{port}" if port else ""


ROUTES = (link,)
