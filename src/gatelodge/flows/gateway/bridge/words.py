"""What servers are told for a member outside of calls: each word has its intent in the log first.

To wait for a resource, to wait for it no more, and that a client's roots changed: a server learns
of it that somebody did so, and what they wrote. So it is decided and recorded as a call is, one
pair of records for each server, beside the record of the request itself (guarantees
audit:intent-before-effect, isolation:no-second-path).
"""

import asyncio
from collections.abc import Callable, Collection, Iterable

from gatelodge.core.ids import Instant, ServerId
from gatelodge.core.policy.decision import Allow
from gatelodge.core.records.leaves import CallIntent, CallOutcome, Outcome
from gatelodge.core.view import PolicyView, decide
from gatelodge.core.view_entry import Entry, ServerView
from gatelodge.flows.audit.recorder import AuditRecorder
from gatelodge.flows.gateway.follower import ViewFollower
from gatelodge.flows.gateway.request import RequestOrigin
from gatelodge.flows.gateway.unclosed import UnclosedCalls
from gatelodge.ports.world import Clock

Entries = Callable[[ServerView], Iterable[Entry]]
"""Any one of these has to be allowed at a server before it is told anything."""
Noted = dict[ServerId, str]
"""The servers that may be told, each with the id under which that is recorded."""


_UNTOLD: dict[str, Outcome] = {"client_gone": "client_gone", "revoked": "revoked", "stale": "stale"}
"""Why a stream ends, as far as a call's outcome has the same word for it."""


def resources_of(server: ServerView) -> Iterable[Entry]:
    """Resources alone."""
    return (server.resources,)


def all_of(server: ServerView) -> Iterable[Entry]:
    """Anything that can be used there."""
    return server.entries


class ServerNotices:
    """Decides, and records. `waits` = nothing is told before its intent is durable.

    `unclosed` closes the records of what was told to nobody since its writing failed.
    """

    def __init__(
        self,
        recorder: AuditRecorder,
        clock: Clock,
        standing: ViewFollower,
        unclosed: UnclosedCalls,
        *,
        waits: bool,
    ) -> None:
        self._recorder = recorder
        self._unclosed = unclosed
        self._clock = clock
        self._standing = standing
        self._waits = waits

    async def noted(
        self, said: RequestOrigin, servers: Collection[ServerId], entries: Entries
    ) -> Noted:
        """Write down what these servers are about to be told; those that may be, as of now.

        Tell them at once, without a wait in between, then `told`. Raises LedgerDown.
        """
        view = self._standing.view
        found: Noted = {}
        waiting: dict[str, asyncio.Future[None]] = {}
        try:
            for server in sorted(servers):
                rule = self._allowing_rule(view, said, server, entries)
                if rule is not None:
                    found[server] = self._write_down(view, said, server, rule, waiting)
            await _all_durable(waiting.values())
            fresh = await self._standing.renewed()
        except BaseException:
            # Nobody is told: what stands in the log, or comes to stand there, is closed later.
            for server, call in found.items():
                ending = _ending(call, "internal")
                self._unclosed.add(said.log, server, ending, waiting.get(call), counted=False)
            raise
        # Access may have ended while the records were written, so the view of now decides.
        now = self._standing.view
        lost = [s for s in found if not fresh or self._allowing_rule(now, said, s, entries) is None]
        ended = {server: found.pop(server) for server in lost}
        self._close_intents(said, ended, "revoked" if fresh else "stale")
        return found

    def told(self, said: RequestOrigin, noted: Noted) -> None:
        """Record that they were told."""
        self._close_intents(said, noted, "ok")

    def untold(self, said: RequestOrigin, noted: Noted, why: str) -> None:
        """Record that they were told nothing after all; `why` is that of `stream.closed`."""
        self._close_intents(said, noted, _UNTOLD.get(why, "cancelled"))

    def _allowing_rule(
        self, view: PolicyView, said: RequestOrigin, server: ServerId, entries: Entries
    ) -> str | None:
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
        view: PolicyView,
        said: RequestOrigin,
        server: ServerId,
        rule: str,
        waiting: dict[str, asyncio.Future[None]],
    ) -> str:
        intent = CallIntent(
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

    def _close_intents(self, said: RequestOrigin, noted: Noted, outcome: Outcome) -> None:
        for server, call in noted.items():
            self._recorder.outcome(said.log, server, _ending(call, outcome), None)


def _ending(call: str, outcome: Outcome) -> CallOutcome:
    return CallOutcome(call=call, outcome=outcome, ms=0, bytes_out=0)


async def _all_durable(waiting: Collection[asyncio.Future[None]]) -> None:
    """Wait for all of these records; raises what one of them failed with.

    Whoever is cancelled meanwhile cancels no record: it may be written all the same.
    """
    if waiting:
        await asyncio.wait(waiting)
    faults = [each.exception() for each in waiting]  # each is looked at, so that none is warned of
    for fault in faults:
        if fault is not None:
            raise fault
