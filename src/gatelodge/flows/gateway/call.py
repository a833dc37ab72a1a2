"""The call path: the one way to an upstream, and the promise of this product in one function.

Who is calling was settled by the face (fresh view, good credential); from there `Calls.call` reads
from top to bottom: what, the same tool, may they, write it down, forward, close the record, hand
back; forward and hand back only while it is still admitted, asked last thing before each. Denials
are values. Nothing else in this house reaches an upstream for a member (a house test looks), and
the durable order is decision 0004. A call is any request that a server answers: of a tool, a
prompt, a resource, a completion or a task.
"""

import asyncio
from collections.abc import Awaitable
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from gatelodge.core.errors import HouseError, LedgerDown, LimitReached, Stale, UpstreamError
from gatelodge.core.policy.decision import Allow, Deny
from gatelodge.core.protocol.bridge.questions import ASKING
from gatelodge.core.protocol.envelope import Members
from gatelodge.core.protocol.needs import lacking, suffices
from gatelodge.core.view import View, decide
from gatelodge.core.view_entry import ToolEntry
from gatelodge.flows.audit.recorder import Denial, Ending, Intent, Recorder
from gatelodge.flows.gateway.admission import Admission, Standing
from gatelodge.flows.gateway.answers import (
    Asks,
    CallAnswer,
    Failed,
    NotAllowed,
    WasCut,
    answer_of,
    ending_of,
)
from gatelodge.flows.gateway.bridge.questions import GoesOn, Questions, checked
from gatelodge.flows.gateway.inflight import CutReason, InFlight, Running
from gatelodge.flows.gateway.request import CallRequest, Cut
from gatelodge.flows.gateway.targets import Target
from gatelodge.flows.health import Health
from gatelodge.ports.upstream import Request, Upstreams
from gatelodge.ports.world import Clock

Durability = Literal["strict", "overlap", "async"]
Written = asyncio.Future[None] | None
"""Resolved when a record is durable; None when nobody waits for it."""

_SETTLE_SECONDS = 1.0


class CallLimits(Struct, frozen=True, kw_only=True):
    """What a call may cost, and how it is written down (decision 0004)."""

    durability: Durability
    seconds: float
    longest: float = 0.0
    result_bytes: int
    per_principal: int


class Calls:
    """The call path. `_unclosed` (event loop) holds outcomes that could not be written yet."""

    def __init__(
        self,
        upstreams: Upstreams,
        recorder: Recorder,
        inflight: InFlight,
        questions: Questions,
        world: tuple[Clock, CallLimits],
    ) -> None:
        self._upstreams = upstreams
        self._recorder = recorder
        self._inflight = inflight
        self._questions = questions
        self._clock, self._limits = world
        self._waits = self._limits.durability != "async"
        self._unclosed: list[tuple[str, Ending, Written]] = []
        self._loop = asyncio.get_running_loop()

    def call(self, request: CallRequest, standing: Standing, cut: Cut) -> Awaitable[CallAnswer]:
        """Make one call for a member, or say why not; either is in the log before that is answered.

        What is decided here is decided before anything is awaited (a coroutine: the hot path).
        """
        now = standing.view
        target = cut.target = request.find(now, request.params)  # what
        if target is not None and target.entry.withheld:
            request = request.withholding(target.entry.withheld)
        decision = self._may(now, request, target)  # the same tool? may they?
        if target is None or isinstance(decision, Deny):
            return self._not_allowed(request, target, decision, standing)
        cut.admission = Admission((request, target, cut), now, standing, self._clock)
        cut.licence.holder = cut.admission
        return self._make(now, request, target, decision, cut)

    async def _make(
        self, now: View, request: CallRequest, target: Target, decision: Allow, cut: Cut
    ) -> CallAnswer:
        """Write it down, forward, close the record, hand back: each while it is admitted."""
        started, call, ending, noted = self._clock.boottime(), "", None, None
        admission, closed = cut.admission, False
        running = self._running(request, target, cut)
        try:
            call, noted = self._write_down(now, request, target, decision)  # write it down
            overlaps = self._limits.durability == "overlap" and target.entry.read_only
            if noted is not None and not overlaps:
                await noted
            answer: CallAnswer = WasCut("stale", call)
            if admission.holds() or await admission.renewed():
                answer = await self._exchange(request, target, (cut, call))  # forward
            if noted is not None and overlaps:
                await noted
            if not (admission.holds() or await admission.renewed()):
                answer = WasCut(admission.why_not, call)
            ms = int((self._clock.boottime() - started) * 1000)
            ending = ending_of(answer, call, ms)
            if cut.licence.process:
                ending = replace(ending, process=True)
            written = self._loop.create_future() if self._waits else None
            self._recorder.outcome(request.log, ending, written)  # close the record
            if written is not None:
                await written
            closed = True
            if not admission.holds():
                answer = await self.confirmed(request, answer, cut)
            return answer  # hand back
        except LedgerDown as down:
            return Failed(down, call)
        finally:
            self._inflight.remove(running)
            if call and not closed and _stands(noted) is not False:
                # A record failed, or we did: no answer leaves, the pair is closed later.
                self._unclosed.append((request.log, ending or _unknown(call), noted))

    def _running(self, request: CallRequest, target: Target, cut: Cut) -> Running:
        """Register the call: from now on whatever ends it reaches it."""
        who, ended_in = request.who, cut.admission.ended_in
        running = Running(
            "call",
            who.id,
            request.credential.id,
            request.workspace,
            cut,
            who.person,
            target.entry.server,
            ended_in,
            request.request,
        )
        self._inflight.add(running)
        return running

    async def confirmed(self, request: CallRequest, answer: CallAnswer, cut: Cut) -> CallAnswer:
        """A recorded answer that may leave now; asked again by whoever waits before it does."""
        if type(answer) is WasCut or await cut.admission.renewed() or cut.left:
            return answer
        return self._withheld(request, answer.call, cut.admission.why_not)

    async def settle(self, health: Health) -> None:
        """Close what could not be closed at once, until cancelled.

        What has no intent in the log gets no outcome there. A crash before that leaves the intent
        alone: the next start closes it as unresolved.
        """
        while True:
            await asyncio.sleep(_SETTLE_SECONDS)
            try:
                await self._close_all(health)
            except LedgerDown:
                continue  # told to health

    async def _close_all(self, health: Health) -> None:
        for waiting in tuple(self._unclosed):
            log, ending, noted = waiting
            stands = _stands(noted)
            if stands is None:
                continue
            if stands:
                written: asyncio.Future[None] = self._loop.create_future()
                self._recorder.outcome(log, ending, written)
                with health.watched("closing records that could not be closed"):
                    await written
            self._unclosed.remove(waiting)

    def _withheld(self, request: CallRequest, call: str, reason: CutReason) -> WasCut:
        """The answer is recorded and may not leave any more: the record says that too."""
        self._recorder.withheld(request.log, call, request.method, reason)
        return WasCut(reason, call)

    def _may(self, view: View, request: CallRequest, target: Target | None) -> Allow | Deny:
        entry = None if target is None else target.entry
        if target is None or (type(entry) is ToolEntry and request.era in entry.unfit):
            return Deny("tool_unknown", hidden=True)  # it stands in no list of this client either
        entry = target.entry
        decision = decide(view, request.who, entry, self._clock.now(), request.credential.context)
        if isinstance(decision, Deny):
            return decision
        if not isinstance(decision, Allow):
            # Nobody can be asked in this release, so what needs an answer is refused.
            return Deny("approval_denied", rule=decision.rule, text="this call needs an approval")
        return self._unfit(request, target) or decision

    def _unfit(self, request: CallRequest, target: Target) -> Deny | None:
        """Why a call that may be made cannot be made by this client, in this way, or now."""
        entry = target.entry
        if type(entry) is ToolEntry and entry.mirrors and not request.mirrored(entry):
            text = "the Mcp-Param headers must repeat the arguments that the tool's schema names"
            return Deny("header_mismatch", text=text)
        if not suffices(target.needs, request.asker.capabilities):
            return Deny("missing_capability", text=lacking(target.needs))
        calls, _ = self._inflight.counts(request.who.person)
        if calls >= self._limits.per_principal and not self._questions.waits(request, target):
            text = "too many calls of yours, agents included, are running at once"
            return Deny("quota", rule="limits.calls_per_principal", text=text)
        return None

    def _write_down(
        self, view: View, request: CallRequest, target: Target, decision: Allow
    ) -> tuple[str, Written]:
        if not self._waits and self._recorder.failed:
            raise LedgerDown("records cannot be written now")  # nobody would be told otherwise
        entry = target.entry
        intent = Intent(
            method=request.method,
            proto=request.proto,
            gov=view.gov,
            policy=_policy(view, request),
            rule=decision.rule,
            server=entry.server,
            tool=target.name,
            tool_def=entry.digest if type(entry) is ToolEntry else "",
            bytes_in=request.bytes_in,
        )
        written = self._loop.create_future() if self._waits else None
        return self._recorder.intent(request.log, request.caller, intent, written), written

    async def _not_allowed(
        self,
        request: CallRequest,
        target: Target | None,
        decision: Allow | Deny,
        standing: Standing,
    ) -> NotAllowed | Failed | WasCut:
        view = standing.view
        deny = decision if isinstance(decision, Deny) else Deny("tool_unknown", hidden=True)
        denial = Denial(
            method=request.method,
            proto=request.proto,
            gov=view.gov,
            policy=_policy(view, request),
            reason=deny.reason,
            rule=deny.rule,
            server="" if target is None else target.server,
            tool="" if target is None else target.name,
            bytes_in=request.bytes_in,
        )
        written = self._loop.create_future() if self._waits else None
        call = self._recorder.denied(request.log, request.caller, denial, written)
        if written is not None:
            try:
                await written
            except LedgerDown as down:
                return Failed(down, call)
        if not await standing.renewed():
            return self._withheld(request, call, "stale")
        if not standing.view.admits(request.credential, ""):
            return self._withheld(request, call, "revoked")
        return NotAllowed(deny, call)

    async def _exchange(
        self, request: CallRequest, target: Target, of: tuple[Cut, str]
    ) -> CallAnswer:
        """Forward, and wait for what comes back; what the server asks goes to the client first.

        The exchange keeps its own deadline.
        """
        cut, call = of
        number = self._started(request, target, cut)
        if isinstance(number, Failed):
            return number
        while True:
            assert cut.exchange is not None
            try:
                reply = await cut.exchange.reply
            except (UpstreamError, LimitReached, Stale) as error:
                return _failed(cut, error, call)
            except asyncio.CancelledError:
                if cut.reason is None:
                    raise
            if cut.reason is not None:
                return WasCut(cut.reason, call)
            asks = request.method in ASKING
            spoken = request.era if reply.error is None else cut.exchange.spoken
            answer = answer_of(reply, call, spoken, tasks=request.tasks, asks=asks)
            if not isinstance(answer, Asks):
                return checked(request, answer)
            number += 1
            asked = (cut, call, number)
            settled = await self._questions.settle(request, target, answer, asked)
            if not isinstance(settled, GoesOn):
                return settled
            if settled.again and not self._again(request, target, settled.params, cut):
                return WasCut(cut.admission.why_not, call)

    def _started(self, request: CallRequest, target: Target, cut: Cut) -> int | Failed:
        """Begin an exchange, or take up that of the call which a retry belongs to; rounds so far.

        A retry goes on with a parked exchange, or by what the server itself wanted to be told.
        """
        if request.round is None:
            self._begin(request, target, target.params, cut)
            return 0
        taken = self._questions.take_up(request, target, cut)
        if isinstance(taken, Failed):
            return taken
        if cut.exchange is None:
            self._begin(request, target, taken.params, cut)
        return taken.number

    def _again(self, request: CallRequest, target: Target, params: Members, cut: Cut) -> bool:
        """Begin one more exchange if the call may still be made: people take long to answer."""
        if not cut.admission.holds_anew():
            return False
        self._begin(request, target, params, cut)
        return True

    def _begin(self, request: CallRequest, target: Target, params: Members, cut: Cut) -> None:
        tool = target.entry
        forwarded = Request(
            method=request.method,
            params=params,
            meta=request.meta,
            name=target.label,
            client=request.caller.client,
            seconds=tool.timing.call_seconds or self._limits.seconds,
            longest=tool.timing.longest_seconds or self._limits.longest,
            max_bytes=self._limits.result_bytes,
            mirrors=tool.mirrors if type(tool) is ToolEntry else (),
            era=request.era,
            read_only=tool.read_only,
            asker=request.asker,
            admitted=cut.licence,
            keeps=cut.licence.keeps,
            begun=cut.licence.begun,
        )
        cut.exchange = self._upstreams.begin(tool.server, forwarded, request.hearing)


def _policy(view: View, request: CallRequest) -> str:
    """The digest of the policy text that decided."""
    workspace = view.workspaces.get(request.slug)
    return "" if workspace is None else workspace.policy


def _stands(noted: Written) -> bool | None:
    """Whether an intent is in the log, so that its outcome belongs there; None = not known yet."""
    if noted is None:
        return True
    if not noted.done():
        return None
    fault = None if noted.cancelled() else noted.exception()
    return fault.landed() if isinstance(fault, LedgerDown) else not noted.cancelled()


def _failed(cut: Cut, error: HouseError, call: str) -> Failed | WasCut:
    """What an exchange that failed means; Stale = not written, for want of an admission."""
    if cut.reason is not None:
        return WasCut(cut.reason, call)
    return WasCut(cut.admission.why_not, call) if type(error) is Stale else Failed(error, call)


def _unknown(call: str) -> Ending:
    return Ending(call=call, outcome="internal", ms=0, bytes_out=0)
