"""Sign-in to the console: a session is a short-lived personal token, opened by a token or a link.

A link is for whoever stands at the gate's own machine, as notebooks have it: good once, for a
minute, and written into no log; the session that it opens is, as a token that this operator issued.
"""

from hmac import compare_digest
from typing import Final

import msgspec
from msgspec import Struct

from gatelodge.core.errors import Conflict, Unauthenticated
from gatelodge.core.ids import MemberId, PrincipalId, WorkspaceId
from gatelodge.core.people import Credential, Member
from gatelodge.flows.act import GovernanceAct
from gatelodge.flows.identity import tokens
from gatelodge.ports.ephemeral import Ephemeral, EphemeralKind
from gatelodge.ports.store import StoreTx
from gatelodge.ports.world import FreshIds, TokenPeppers

SESSION_SECONDS: Final = 8 * 3600
"""A working day; a session ends earlier with the token that it was opened with."""
LINK_SECONDS: Final = 60.0
LABEL: Final = "console"
MOST_SESSIONS: Final = 8
"""Of one member; beyond them the oldest ends, so many of them keep nobody from signing in."""

LINKS: Final = EphemeralKind(
    name="console_link", value_bytes=256, per_principal=8, of_strangers=0, total=1_000
)
_RANDOM_BYTES = 16


class LinkHolder(Struct, frozen=True):
    """Who may come in by a link, and which operator asked for it."""

    workspace: WorkspaceId
    member: MemberId
    by: str


class ConsoleLinks:
    """Makes links and takes them up; a code bears a mark, by which a guess is told apart."""

    def __init__(self, ephemeral: Ephemeral, ids: FreshIds, peppers: TokenPeppers) -> None:
        self._ephemeral = ephemeral
        self._ids = ids
        self._peppers = peppers

    async def make(self, holder: LinkHolder) -> str:
        """A code that opens one session of the member. Raises StoreDown, LimitReached."""
        name = self._ids.random(_RANDOM_BYTES).hex()
        value = msgspec.json.encode(holder)
        await self._ephemeral.put(LINKS, name, value, seconds=LINK_SECONDS, principal=holder.member)
        return f"{name}.{self._mark(name)}"

    async def take(self, code: str) -> LinkHolder:
        """Who comes in by the code; it is used up. Raises Unauthenticated, StoreDown."""
        name, _, mark = code.partition(".")
        # Judged before the store is asked: strangers' guesses cost it nothing.
        known = compare_digest(mark.encode(), self._mark(name).encode())
        value = await self._ephemeral.take(LINKS, name) if known else None
        if value is None:
            raise Unauthenticated(
                "the link was used already, or is older than a minute",
                remedy="Make a new one: gatelodge console",
            )
        return msgspec.json.decode(value, type=LinkHolder)

    def _mark(self, name: str) -> str:
        return self._peppers.digest(f"console-link:{name}")[:32]


def open_session(
    act: GovernanceAct, peppers: TokenPeppers, workspace: WorkspaceId, member: MemberId
) -> tokens.IssuedCredential:
    """A session of the member, as a token; the oldest of too many ends. Raises as `issue`."""
    running = sorted(_sessions_of(act, workspace, member), key=lambda each: each.created_at)
    tokens.end(act, *running[: max(0, len(running) - MOST_SESSIONS + 1)])
    return tokens.issue(
        act, peppers, workspace, PrincipalId(member), LABEL, seconds=SESSION_SECONDS
    )


def _sessions_of(act: GovernanceAct, workspace: WorkspaceId, member: MemberId) -> list[Credential]:
    """What opens the console for the member now: by its label and its short life."""
    return [
        each
        for each in tokens.of(act.tx, workspace, PrincipalId(member))
        if each.label == LABEL
        and act.at < each.expires_at <= each.created_at + SESSION_SECONDS * 1_000_000
    ]


def the_owner(tx: StoreTx, workspace: WorkspaceId) -> Member:
    """The member as whom an operator comes in who names nobody: the only owner. Raises Conflict."""
    found = tx.find(Member, workspace=workspace, role="owner", status="active")
    if len(found) != 1:
        raise Conflict(
            f"this workspace has {len(found)} owners",
            remedy="Say as whom: gatelodge console --member EMAIL",
        )
    return found[0]
