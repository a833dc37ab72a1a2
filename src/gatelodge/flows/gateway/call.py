"""The call path: the one way to an upstream, and the promise of this product in one function.

Who is calling was settled by the face (fresh view, good credential); from there `Calls.call` reads
from top to bottom: what, the same tool, may they, write it down, forward, close the record, hand
back. Denials are values. Nothing else in this house reaches an upstream for a member (a house test
looks), and the durable order is decision 0004.
"""

import asyncio
from collections.abc import Callable
from typing import Literal

import msgspec
from msgspec import Raw, Struct

from gatelodge.core.errors import LedgerDown, LimitReached, UpstreamError
from gatelodge.core.policy.decision import Allow, Deny
from gatelodge.core.protocol.envelope import Members
from gatelodge.core.view import View, decide
from gatelodge.core.view_entry import CredentialEntry, PrincipalEntry, ToolEntry
from gatelodge.flows.audit.recorder import Caller, Denial, Ending, Intent, Recorder
from gatelodge.flows.gateway.answers import (
    CallAnswer,
    Failed,
    NotAllowed,
    WasCut,
    answer_of,
    ending_of,
)
from gatelodge.flows.gateway.inflight import CutReason, InFlight, Running
from gatelodge.ports.upstream import Exchange, Request, Upstreams
from gatelodge.ports.world import Clock

Durability = Literal["strict", "overlap", "async"]
Notify = Callable[[str, bytes], None]
Written = asyncio.Future[None] | None
"""Resolved when a record is durable; None when nobody waits for it."""

_encode = msgspec.json.Encoder().encode
_SETTLE_SECONDS = 1.0


class CallRequest(Struct, frozen=True, kw_only=True):
    """One tools/call, read and authenticated.

    `find` resolves the name that the client used; `mirrored` says whether the request's headers
    repeat the arguments that this tool wants repeated.
    """

    who: PrincipalEntry
    credential: CredentialEntry
    caller: Caller
    workspace: str
    slug: str
    log: str
    find: Callable[[View], ToolEntry | None]
    mirrored: Callable[[ToolEntry], bool]
    params: Members
    meta: Members
    proto: str
    bytes_in: int
    request: tuple[bytes, bytes] | None
    notify: Notify | None


class CallLimits(Struct, frozen=True, kw_only=True):
    """What a call may cost, and how it is written down (decision 0004)."""

    durability: Durability
    seconds: float
    result_bytes: int
    per_principal: int


class Cut:
    """A running call's ear: remembers why it was cut and stops the exchange that it has by then."""

    __slots__ = ("exchange", "reason")

    def __init__(self) -> None:
        self.exchange: Exchange | None = None
        self.reason: CutReason | None = None

    def __call__(self, reason: CutReason) -> None:
        """End the call for this reason; only the first one counts."""
        if self.reason is None:
            self.reason = reason
            if self.exchange is not None:
                self.exchange.abort(reason)


class Calls:
    """The call path. `_unclosed` (event loop) holds outcomes that could not be written yet."""

    def __init__(
        self,
        upstreams: Upstreams,
        recorder: Recorder,
        inflight: InFlight,
        clock: Clock,
        limits: CallLimits,
    ) -> None:
        self._upstreams = upstreams
        self._recorder = recorder
        self._inflight = inflight
        self._clock = clock
        self._limits = limits
        self._unclosed: list[tuple[str, Ending]] = []
        self._loop = asyncio.get_running_loop()

    async def call(self, request: CallRequest, view: Callable[[], View], cut: Cut) -> CallAnswer:
        """Make one call for a member, or say why not; either is in the log before this returns."""
        now = view()
        tool = request.find(now)  # what
        decision = self._may(now, request, tool)  # the same tool? may they?
        if tool is None or isinstance(decision, Deny):
            return await self._not_allowed(now, request, tool, decision)
        running = Running("call", request.who.id, request.credential.id, request.workspace, cut)
        running.server, running.request = tool.server, request.request
        self._inflight.add(running)
        started, call, closed = self._clock.boottime(), "", False
        try:
            call, written = self._write_down(now, request, tool, decision)  # write it down
            overlaps = self._limits.durability == "overlap" and tool.read_only
            if written is not None and not overlaps:
                await written
            answer: CallAnswer
            if self._ended_since(view(), request, tool, cut):
                answer = WasCut(cut.reason or "revoked", call)
            else:
                forwarded = self._forwarded(request, tool)  # forward
                cut.exchange = self._upstreams.begin(tool.server, forwarded, request.notify)
                answer = await self._finish(cut, call)
            if written is not None and overlaps:
                await written
            closed = True
            ms = int((self._clock.boottime() - started) * 1000)
            return await self._close(request.log, answer, call, ms)  # close the record, hand back
        except LedgerDown as down:
            return Failed(down, call)
        finally:
            self._inflight.remove(running)
            if call and not closed:
                # The record of the intent failed, or we did: no answer leaves, the pair is closed.
                self._unclosed.append((request.log, _unknown(call)))

    async def settle(self) -> None:
        """Close what could not be closed at once, until cancelled.

        A crash before that leaves the intent alone: the next start closes it as unresolved.
        """
        while True:
            await asyncio.sleep(_SETTLE_SECONDS)
            for waiting in tuple(self._unclosed):
                log, ending = waiting
                written: asyncio.Future[None] = self._loop.create_future()
                self._recorder.outcome(log, ending, written)
                try:
                    await written
                except LedgerDown:
                    break
                self._unclosed.remove(waiting)

    def _may(self, view: View, request: CallRequest, tool: ToolEntry | None) -> Allow | Deny:
        if tool is None:
            return Deny("tool_unknown", hidden=True)
        decision = decide(view, request.who, tool, self._clock.now(), request.credential.context)
        if isinstance(decision, Deny):
            return decision
        if not isinstance(decision, Allow):
            # Nobody can be asked in this release, so what needs an answer is refused.
            return Deny("approval_denied", rule=decision.rule, text="this call needs an approval")
        if tool.mirrors and not request.mirrored(tool):
            text = "the Mcp-Param headers must repeat the arguments that the tool's schema names"
            return Deny("header_mismatch", text=text)
        calls, _ = self._inflight.counts(request.who.id)
        if calls >= self._limits.per_principal:
            text = "too many of your calls are running at once"
            return Deny("quota", rule="limits.calls_per_principal", text=text)
        return decision

    def _ended_since(self, view: View, request: CallRequest, tool: ToolEntry, cut: Cut) -> bool:
        """Look once more between the record and the forward: access may have ended meanwhile."""
        return cut.reason is not None or not view.admits(request.credential, tool.server)

    def _written(self) -> Written:
        if self._limits.durability == "async":
            return None
        return self._loop.create_future()

    def _write_down(
        self, view: View, request: CallRequest, tool: ToolEntry, decision: Allow
    ) -> tuple[str, Written]:
        intent = Intent(
            method="tools/call",
            proto=request.proto,
            gov=view.gov,
            policy=_policy(view, request),
            rule=decision.rule,
            server=tool.server,
            tool=tool.name,
            tool_def=tool.digest,
            bytes_in=request.bytes_in,
        )
        written = self._written()
        return self._recorder.intent(request.log, request.caller, intent, written), written

    async def _not_allowed(
        self, view: View, request: CallRequest, tool: ToolEntry | None, decision: Allow | Deny
    ) -> NotAllowed | Failed:
        deny = decision if isinstance(decision, Deny) else Deny("tool_unknown", hidden=True)
        denial = Denial(
            method="tools/call",
            proto=request.proto,
            gov=view.gov,
            policy=_policy(view, request),
            reason=deny.reason,
            rule=deny.rule,
            server="" if tool is None else tool.server,
            tool="" if tool is None else tool.name,
            bytes_in=request.bytes_in,
        )
        written = self._written()
        call = self._recorder.denied(request.log, request.caller, denial, written)
        if written is not None:
            try:
                await written
            except LedgerDown as down:
                return Failed(down, call)
        return NotAllowed(deny, call)

    def _forwarded(self, request: CallRequest, tool: ToolEntry) -> Request:
        return Request(
            method="tools/call",
            params={**request.params, "name": Raw(_encode(tool.name))},
            meta=request.meta,
            name=tool.name,
            client=request.caller.client,
            seconds=self._limits.seconds,
            max_bytes=self._limits.result_bytes,
            mirrors=tool.mirrors,
        )

    async def _finish(self, cut: Cut, call: str) -> CallAnswer:
        """Wait for the upstream; the exchange keeps its own deadline."""
        assert cut.exchange is not None
        try:
            reply = await cut.exchange.reply
        except (UpstreamError, LimitReached) as error:
            return WasCut(cut.reason, call) if cut.reason is not None else Failed(error, call)
        except asyncio.CancelledError:
            if cut.reason is None:
                raise
            return WasCut(cut.reason, call)
        if cut.reason is not None:
            return WasCut(cut.reason, call)
        return answer_of(reply, call)

    async def _close(self, log: str, answer: CallAnswer, call: str, ms: int) -> CallAnswer:
        """Close the record; the answer leaves only when that is durable."""
        ending = ending_of(answer, call, ms)
        written = self._written()
        self._recorder.outcome(log, ending, written)
        if written is not None:
            try:
                await written
            except LedgerDown as down:
                self._unclosed.append((log, ending))
                return Failed(down, call)
        return answer


def _policy(view: View, request: CallRequest) -> str:
    """The digest of the policy text that decided."""
    workspace = view.workspaces.get(request.slug)
    return "" if workspace is None else workspace.policy


def _unknown(call: str) -> Ending:
    return Ending(call=call, outcome="internal", ms=0, bytes_out=0)
