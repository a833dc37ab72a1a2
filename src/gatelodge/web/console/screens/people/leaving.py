"""The end of somebody's access: the receipt, and each node's word of it as it comes."""

import asyncio
from typing import Any, Final

import msgspec
from litestar import Request, Response, post
from msgspec import Struct

from gatelodge.core.errors import HouseError
from gatelodge.core.people import Member
from gatelodge.flows.act import GovernanceAct
from gatelodge.flows.admin.members import RevokedMember, member
from gatelodge.flows.identity.revocation import (
    EndedKind,
    NodeCut,
    RevocationReceipt,
    Told,
    ended_kinds,
)
from gatelodge.flows.nouns import lookup
from gatelodge.web.api.context import WorkspaceContext
from gatelodge.web.api.nouns import answer_of_verb
from gatelodge.web.api.parameters import Here, Named
from gatelodge.web.console.forms import NOTHING, FormOutcome, answered, body_of_form, sent_form
from gatelodge.web.console.screens.people.members import REVOKE, member_page

_EVENTS = "text/event-stream"
_UNDER_WAY: set["asyncio.Task[RevocationReceipt]"] = set()
"""Ends of access that somebody watches: they go on when the watcher leaves."""
Asked = Request[Any, Any, Any]
_FORESEE: Final = answer_of_verb(member, REVOKE)


class EndProgress(Struct, frozen=True, kw_only=True):
    """How an end of access goes: which nodes are waited for, and what each other one did."""

    waiting: tuple[str, ...] = ()
    bound_ms: int = 0
    nodes: tuple[NodeCut, ...] = ()
    receipt: RevocationReceipt | None = None
    with_it: tuple[EndedKind, ...] = ()
    problem: str = ""


class EndWatch:
    """Tells the page what each node did, as it comes, and the receipt at the end."""

    def __init__(self, place: WorkspaceContext, row: Member, given: Any) -> None:
        self.ended = False
        self._told: asyncio.Queue[EndProgress] = asyncio.Queue()
        self._last = EndProgress()
        self._task = asyncio.get_running_loop().create_task(end(place, row, given, self._tell))
        # Kept here: nobody else holds it, and whoever closes the page must not stop it.
        _UNDER_WAY.add(self._task)
        self._task.add_done_callback(_UNDER_WAY.discard)

    async def take(self, seconds: float) -> bytes:
        """What came; empty when nothing did in that time. Raises what went wrong unexpectedly."""
        if self._last.receipt is not None or self._last.problem:
            self.ended = True
            return b""
        told = asyncio.ensure_future(self._told.get())
        try:
            await asyncio.wait((told, self._task), timeout=seconds, return_when="FIRST_COMPLETED")
            if told.done():
                self._last = told.result()
            elif self._task.done():
                self._last = self._outcome()
            else:
                return b""
        finally:
            told.cancel()
        return msgspec.json.encode(self._last)

    def close(self) -> None:
        """Nobody listens any more; the end itself goes on."""
        self.ended = True

    def _tell(self, waiting: tuple[str, ...], bound_ms: int, nodes: tuple[NodeCut, ...]) -> None:
        now = EndProgress(waiting=waiting, bound_ms=bound_ms, nodes=nodes)
        if now != self._last:
            self._told.put_nowait(now)

    def _outcome(self) -> EndProgress:
        try:
            receipt = self._task.result()
        except HouseError as fault:
            return EndProgress(problem=f"{fault.detail} {fault.remedy}".strip())
        return EndProgress(
            bound_ms=receipt.bound_ms,
            nodes=receipt.nodes,
            receipt=receipt,
            with_it=tuple(ended_kinds(receipt.cascade, receipt.named)),
        )


async def end(
    place: WorkspaceContext, row: Member, given: Any, told: Told | None = None
) -> RevocationReceipt:
    """End a member's access for good, as the form says. Raises what a change raises."""

    def work(act: GovernanceAct) -> tuple[str, ...]:
        leaver = lookup.member(act.tx, place.id, row.id)
        ended: RevokedMember = REVOKE.run(act, leaver, **REVOKE.words(act.tx, place.id, given))
        return ended.ids

    ending = ("member", row.id, place.id)
    return await place.gate.end(place.caller, ending, given.why, work, told)


@post("/members/{who:str}/revoke", opt={"act": "member.revoke"}, status_code=200)
async def end_access(place: Here, who: Named, request: Asked) -> Response[Any]:
    """End a member's access for good; the answer is the receipt, once it holds on every node.

    A page that takes events is told of each node before that. A form that only asks is told who
    would lose what, and what becomes of their agents.
    """
    sent = await sent_form(request)
    row = await place.gate.read(lambda tx: lookup.member(tx, place.id, who))
    if request.headers.get("accept") == _EVENTS:
        given = body_of_form(member, REVOKE, sent)
        request.scope["state"]["source"] = EndWatch(place, row, given)
        return Response(b"", media_type=_EVENTS)

    async def shows(told: FormOutcome) -> Response[Any]:
        return await member_page(place, row.id, told)

    async def work() -> Response[Any]:
        given = body_of_form(member, REVOKE, sent)
        if sent.asks:
            found = await _FORESEE(place=place, name=row.id, data=given, dry_run=True)
            return await shows(FormOutcome(form=REVOKE.name, typed=sent.typed, foreseen=found))
        receipt = await end(place, row, given)
        return await member_page(place, row.id, NOTHING, receipt=receipt)

    return await answered(REVOKE.name, sent, work, shows)


ROUTES = (end_access,)
