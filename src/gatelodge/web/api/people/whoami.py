"""Whoever is asking: who the gate takes them for, and until when."""

from litestar import get
from msgspec import Struct

from gatelodge.core.instant import rfc3339
from gatelodge.core.people import Credential, Member
from gatelodge.ports.store import StoreTx
from gatelodge.web.api.parameters import Here


class Whoami(Struct, frozen=True, kw_only=True):
    """A member by e-mail address with the token in use; `local` on the gate's own machine."""

    principal: str
    role: str
    workspace: str
    token: str = ""
    label: str = ""
    expires_at: str = ""


@get("/whoami", opt={"act": "access.own"})
async def whoami(place: Here) -> Whoami:
    """Say who the caller is here."""
    caller, slug = place.caller, place.workspace.slug
    if caller.local:
        return Whoami(principal=caller.by, role="operator", workspace=slug)

    def look(tx: StoreTx) -> Whoami:
        # Rows of members and tokens stay when access ends, so each is there exactly once.
        (member,) = tx.find(Member, workspace=place.id, id=caller.by)
        (token,) = tx.find(Credential, workspace=place.id, id=caller.credential)
        return Whoami(
            principal=member.email,
            role=member.role,
            workspace=slug,
            token=token.id,
            label=token.label,
            expires_at=rfc3339(token.expires_at),
        )

    return await place.gate.read(look)


ROUTES = (whoami,)
