"""What servers are told for a member outside of calls: each word has its intent in the log first.

To wait for a resource, to wait for it no more, and that a client's roots changed: a server learns
of it that somebody did so, and what they wrote. So it is decided and recorded as a call is, one
pair of records for each server, beside the record of the request itself (guarantees
audit:intent-before-effect, isolation:no-second-path).
"""

import asyncio
from collections.abc import Callable, Collection, Iterable

from msgspec import Struct

from gatelodge.core.ids import Instant, ServerId
from gatelodge.core.policy.decision import Allow
from gatelodge.core.view import View, decide
from gatelodge.core.view_entry import CredentialEntry, Entry, PrincipalEntry, ServerView
from gatelodge.flows.audit.recorder import Caller, Ending, Intent, Recorder
from gatelodge.flows.gateway.admission import Standing
from gatelodge.ports.world import Clock

Entries = Callable[[ServerView], Iterable[Entry]]
"""Any one of these has to be allowed at a server before it is told anything."""
Noted = dict[ServerId, str]
"""The servers that may be told, each with the id under which that is recorded."""


class Said(Struct, frozen=True, kw_only=True):
    """Who says what: as in a call's intent."""

    who: PrincipalEntry
    credential: CredentialEntry
    caller: Caller
    slug: str
    log: str
    method: str
    proto: str
    bytes_in: int


def resources_of(server: ServerView) -> Iterable[Entry]:
    """Resources alone."""
    return (server.resources,)


def all_of(server: ServerView) -> Iterable[Entry]:
    """Anything that can be used there."""
    return server.entries


class Words:
    """Decides, and records. `waits` = nothing is told before its intent is durable."""

    def __init__(
        self, recorder: Recorder, clock: Clock, standing: Standing, *, waits: bool
    ) -> None:
        self._recorder = recorder
        self._clock = clock
        self._standing = standing
        self._waits = waits

    async def noted(self, said: Said, servers: Collection[ServerId], entries: Entries) -> Noted:
        """Write down what these servers are about to be told; those that may be, as of now.

        Tell them at once, without a wait in between, then `told`. Raises LedgerDown.
        """
        view = self._standing.view
        found: Noted = {}
        waiting: dict[str, asyncio.Future[None]] = {}
        for server in sorted(servers):
            rule = self._rule(view, said, server, entries)
            if rule is not None:
                found[server] = self._write_down(view, said, (server, rule), waiting)
        for fault in await asyncio.gather(*waiting.values(), return_exceptions=True):
            if isinstance(fault, BaseException):
                stand = [call for call, each in waiting.items() if each.exception() is None]
                self._close(said, stand, "internal")
                raise fault
        fresh = await self._standing.renewed()
        now = self._standing.view
        lost = [s for s in found if not fresh or self._rule(now, said, s, entries) is None]
        self._close(said, [found.pop(server) for server in lost], "revoked" if fresh else "stale")
        return found

    def told(self, said: Said, noted: Noted) -> None:
        """Record that they were told."""
        self._close(said, noted.values(), "ok")

    def _rule(self, view: View, said: Said, server: ServerId, entries: Entries) -> str | None:
        """The rule that lets them say anything to this server; None when there is none."""
        workspace = view.workspaces.get(said.slug)
        found = None if workspace is None else workspace.server(server)
        if found is None or not view.admits(said.credential, server):
            return None
        at, context = Instant(self._clock.now()), said.credential.context
        for entry in entries(found):
            decision = decide(view, said.who, entry, at, context)
            if isinstance(decision, Allow):
                return decision.rule
        return None

    def _write_down(
        self,
        view: View,
        said: Said,
        of: tuple[ServerId, str],
        waiting: dict[str, asyncio.Future[None]],
    ) -> str:
        server, rule = of
        intent = Intent(
            method=said.method,
            proto=said.proto,
            gov=view.gov,
            policy=view.workspaces[said.slug].policy,
            rule=rule,
            server=server,
            tool="",
            tool_def="",
            bytes_in=said.bytes_in,
        )
        durable = asyncio.get_running_loop().create_future() if self._waits else None
        call = self._recorder.intent(said.log, said.caller, intent, durable)
        if durable is not None:
            waiting[call] = durable
        return call

    def _close(self, said: Said, calls: Iterable[str], outcome: str) -> None:
        for call in calls:
            ending = Ending(call=call, outcome=outcome, ms=0, bytes_out=0)
            self._recorder.outcome(said.log, ending, None)
