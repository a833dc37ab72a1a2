"""The call path: the one way to an upstream, and the promise of this product in one function.

Who is calling was settled by the face (fresh view, good credential); from there `CallPath.call`
reads from top to bottom: what, the same tool, may they, write it down, forward, close the record,
hand back; forward and hand back only while it is still admitted, asked last thing before each.
Denials are values. Nothing else in this house reaches an upstream for a member (a house test
looks), and the durable order is decision 0004. A call is any request that a server answers: of a
tool, a prompt, a resource, a completion or a task.
"""

import asyncio
from collections.abc import Awaitable
from typing import Literal

from msgspec import Struct

from gatelodge.core.errors import HouseError, LedgerDown, LimitReached, Stale, UpstreamError
from gatelodge.core.policy.decision import Allow, Deny
from gatelodge.core.protocol.bridge.questions import ASKING
from gatelodge.core.protocol.capabilities import declares_nothing
from gatelodge.core.protocol.envelope import Members
from gatelodge.core.records.leaves import CallDenied, CallIntent, CallOutcome
from gatelodge.core.view import PolicyView, decide
from gatelodge.core.view_entry import ToolEntry
from gatelodge.flows.audit.recorder import AuditRecorder
from gatelodge.flows.gateway.admission import AdmittedCall, CallControl
from gatelodge.flows.gateway.answers import (
    CallAnswer,
    CallFailed,
    NotAllowed,
    ServerAsks,
    WasCut,
    answer_of,
    ending_of,
)
from gatelodge.flows.gateway.bridge.questions import GoesOn, QuestionBridge, checked
from gatelodge.flows.gateway.follower import ViewFollower
from gatelodge.flows.gateway.inflight import CutReason, InFlight
from gatelodge.flows.gateway.request import CallRequest
from gatelodge.flows.gateway.targets import CallTarget
from gatelodge.flows.gateway.unclosed import UnclosedCalls, Written
from gatelodge.ports.journal import RecordWrite
from gatelodge.ports.upstream import UpstreamRequest, Upstreams
from gatelodge.ports.world import Clock

Durability = Literal["strict", "overlap", "async"]
_UNKNOWN = Deny("tool_unknown", hidden=True)
_NOT_OFFERED = (
    "its server offers it only to clients that declare a capability to it: "
    "elicitation, sampling, roots or an extension"
)


class CallLimits(Struct, frozen=True, kw_only=True):
    """What a call may cost, and how it is written down (decision 0004)."""

    durability: Durability
    seconds: float
    longest: float = 0.0
    result_bytes: int
    per_principal: int


class CallPath:
    """The call path. `unclosed` holds the outcomes that could not be written yet."""

    def __init__(
        self,
        upstreams: Upstreams,
        recorder: AuditRecorder,
        inflight: InFlight,
        questions: QuestionBridge,
        clock: Clock,
        *,
        limits: CallLimits,
    ) -> None:
        self._upstreams = upstreams
        self._recorder = recorder
        self._inflight = inflight
        self._questions = questions
        self._clock, self._limits = clock, limits
        self._waits = self._limits.durability != "async"
        self._overlapping = self._limits.durability == "overlap"
        self.unclosed = UnclosedCalls(recorder)
        self._loop = asyncio.get_running_loop()

    def call(
        self, request: CallRequest, standing: ViewFollower, cut: CallControl
    ) -> Awaitable[CallAnswer]:
        """Make one call for a member, or say why not; either is in the log before that is answered.

        What is decided here is decided before anything is awaited (a coroutine: the hot path).
        """
        now = standing.view
        find = request.targets.find
        target = cut.target = find(now, request.method, request.name, request.params)  # what
        if target is None:
            return self._not_allowed(request, None, _UNKNOWN, standing)
        # To a server from which an admin hides a capability, the client is one that lacks it.
        request = request.told_to(target.host)
        decision = self._decide_call(now, request, target)  # the same tool? may they?
        if isinstance(decision, Deny):
            return self._not_allowed(request, target, decision, standing)
        admitted = AdmittedCall(request, target, cut, now, standing, self._clock)
        cut.admission = cut.licence.holder = admitted
        return self._make_admitted_call(admitted, decision.rule)

    async def _make_admitted_call(self, admitted: AdmittedCall, rule: str) -> CallAnswer:
        """Write it down, forward, close the record, hand back: each while it is admitted."""
        request, target, cut = admitted.request, admitted.target, admitted.cut
        server, closed = target.entry.server, False
        started, ending = self._clock.boottime(), None
        noted: Written = None
        written: Written = None
        # Nothing was awaited since the decision, so a cut that comes from here on finds the call.
        running = admitted.registered()
        running.request, running.began = request.request, started
        self._inflight.add(running)
        try:
            noted = self._write_down(admitted, rule)  # write it down
            running.call = call = admitted.call
            # Only a review makes a tool read-only, never its server's own hint (decision 0004).
            overlaps = self._overlaps(target)
            if noted is not None and not overlaps:
                await noted
            answer: CallAnswer = WasCut("stale", call)
            if admitted.holds() or await admitted.renewed():
                answer = await self._forward_until_answered(admitted)  # forward
                if cut.trace is not None:
                    came = ending_of(answer, call, 0)
                    cut.trace.replied(came.outcome, came.rpc_code)
            # No answer leaves before the intent is durable, however early the call was forwarded.
            if noted is not None and overlaps:
                await noted
            # The admission is asked for first, so that the record says what the client will get.
            if not (admitted.holds() or await admitted.renewed()):
                answer = admitted.was_cut()
            ms = int((self._clock.boottime() - started) * 1000)
            ending = ending_of(answer, call, ms)
            ending.process = cut.licence.process
            written = RecordWrite(loop=self._loop) if self._waits else None
            self._recorder.outcome(request.log, server, ending, written)  # close the record
            if written is not None:
                await written
            closed = True
            # The wait for the disk may have outlasted the admission: the record is closed by now,
            # and a further leaf has to say that the answer was withheld.
            if not admitted.holds():
                answer = await self.confirmed(request, answer, cut)
            return answer  # hand back
        except LedgerDown as down:
            return CallFailed(down, admitted.call)
        finally:
            self._inflight.remove(running)
            if admitted.call and not closed:
                # A record failed, or we did: no answer leaves, the pair is closed later.
                counted = ending is not None
                left = ending or CallOutcome(
                    call=admitted.call, outcome="internal", ms=0, bytes_out=0
                )
                self.unclosed.add(request.log, server, left, noted, written, counted=counted)

    async def confirmed(
        self, request: CallRequest, answer: CallAnswer, cut: CallControl
    ) -> CallAnswer:
        """A recorded answer that may leave now; asked again by whoever waits before it does."""
        # From whoever left on their own account nothing is withheld: they wait for no answer.
        if type(answer) is WasCut or await cut.admission.renewed() or cut.left:
            return answer
        return self._withhold_answer(request, answer.call, cut.admission.why_not)

    def _withhold_answer(self, request: CallRequest, call: str, reason: CutReason) -> WasCut:
        """The answer is recorded and may not leave any more: the record says that too."""
        self._recorder.withheld(request.log, call, request.method, reason)
        return WasCut(reason, call)

    def _decide_call(
        self, view: PolicyView, request: CallRequest, target: CallTarget
    ) -> Allow | Deny:
        entry = target.entry
        if type(entry) is ToolEntry and request.era in entry.unfit:
            return _UNKNOWN  # it stands in no list of this client either
        decision = decide(view, request.who, entry, self._clock.now(), request.credential.context)
        if isinstance(decision, Deny):
            return decision
        if not isinstance(decision, Allow):
            # Nobody can be asked in this release, so what needs an answer is refused.
            return Deny("approval_denied", rule=decision.rule, text="this call needs an approval")
        return self._denial_if_unfit(request, target) or decision

    def _denial_if_unfit(self, request: CallRequest, target: CallTarget) -> Deny | None:
        """Why a call that may be made cannot be made by this client, in this way, or now."""
        entry = target.entry
        if type(entry) is ToolEntry and entry.mirrors and not request.mirrored(entry):
            text = "the Mcp-Param headers must repeat the arguments that the tool's schema names"
            return Deny("header_mismatch", text=text)
        # It stands in no list of this client (`tools_of`); which capability it lacks is not known.
        if target.added and declares_nothing(request.asker.capabilities, target.added):
            return Deny("missing_capability", text=_NOT_OFFERED)
        calls, _ = self._inflight.counts(request.who.person)
        # The retry of a parked call goes on in that call's place, which is counted already.
        if calls >= self._limits.per_principal and not self._questions.waits(request, target):
            text = "too many calls of yours, agents included, are running at once"
            return Deny("quota", rule="limits.calls_per_principal", text=text)
        return None

    def _overlaps(self, target: CallTarget) -> bool:
        """True for a tool that an admin reviewed as read-only; nobody reviews what else is read."""
        entry = target.entry
        return self._overlapping and type(entry) is ToolEntry and entry.read_only

    def _write_down(self, admitted: AdmittedCall, rule: str) -> Written:
        if not self._waits and self._recorder.failed:
            raise LedgerDown("records cannot be written now")  # nobody would be told otherwise
        request, target, entry = admitted.request, admitted.target, admitted.target.entry
        intent = CallIntent(
            method=request.method,
            proto=request.proto,
            gov=admitted.view.gov,
            policy=_policy_digest(admitted.view, request),
            rule=rule,
            server=entry.server,
            tool=target.name,
            tool_def=entry.digest if type(entry) is ToolEntry else "",
            bytes_in=request.bytes_in,
        )
        written = RecordWrite(loop=self._loop) if self._waits else None
        admitted.call = self._recorder.intent(request.log, request.caller, intent, written)
        return written

    async def _not_allowed(
        self,
        request: CallRequest,
        target: CallTarget | None,
        deny: Deny,
        standing: ViewFollower,
    ) -> NotAllowed | CallFailed | WasCut:
        view = standing.view
        denial = CallDenied(
            method=request.method,
            proto=request.proto,
            gov=view.gov,
            policy=_policy_digest(view, request),
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
                return CallFailed(down, call)
        # A denial is an answer too: whoever lost access while it was written learns nothing more.
        if not await standing.renewed():
            return self._withhold_answer(request, call, "stale")
        # The lease was asked for first: by an old view a revoked credential would look good.
        if not standing.view.admits(request.credential, ""):
            return self._withhold_answer(request, call, "revoked")
        return NotAllowed(deny, call)

    async def _forward_until_answered(self, admitted: AdmittedCall) -> CallAnswer:
        """Forward, and wait for what comes back; what the server asks goes to the client first.

        The exchange keeps its own deadline.
        """
        request, cut = admitted.request, admitted.cut
        number = self._begin_or_resume_exchange(admitted)
        if isinstance(number, CallFailed):
            return number
        while True:
            assert cut.exchange is not None
            try:
                reply = await cut.exchange.reply
            except (UpstreamError, LimitReached, Stale) as error:
                return _answer_of_failure(admitted, error)
            except asyncio.CancelledError:
                # A cut cancels the reply; any other cancellation is of the task itself.
                if cut.reason is None:
                    raise
            # A reply that came before the cut is dropped: the record says what the client gets.
            if cut.reason is not None:
                return admitted.was_cut()
            asks = request.method in ASKING
            spoken = request.era if reply.error is None else cut.exchange.spoken
            answer = answer_of(reply, admitted.call, spoken, tasks=request.tasks, asks=asks)
            if not isinstance(answer, ServerAsks):
                return checked(request, answer)
            number += 1
            settled = await self._questions.settle(admitted, answer, number)
            if not isinstance(settled, GoesOn):
                return settled
            if settled.again and not self._begin_exchange_again(admitted, settled.params):
                return admitted.was_cut()

    def _begin_or_resume_exchange(self, admitted: AdmittedCall) -> int | CallFailed:
        """Begin an exchange, or take up that of the call which a retry belongs to; rounds so far.

        A retry goes on with a parked exchange, or by what the server itself wanted to be told.
        """
        if admitted.request.round is None:
            self._begin_exchange(admitted, admitted.target.params)
            return 0
        taken = self._questions.take_up(admitted, admitted.request.round)
        if isinstance(taken, CallFailed):
            return taken
        # A parked exchange still runs at its server: a second one would run the tool twice.
        if admitted.cut.exchange is None:
            self._begin_exchange(admitted, taken.params)
        return taken.number

    def _begin_exchange_again(self, admitted: AdmittedCall, params: Members) -> bool:
        """Begin one more exchange if the call may still be made: people take long to answer."""
        if not admitted.holds_anew():
            return False
        self._begin_exchange(admitted, params)
        return True

    def _begin_exchange(self, admitted: AdmittedCall, params: Members) -> None:
        request, target, cut = admitted.request, admitted.target, admitted.cut
        tool, timing, meta = target.entry, target.host.timing, request.meta
        if cut.trace is not None:
            meta = cut.trace.forwarded(tool.alias, target.name, meta)
        # It gets the licence, not this request's admission: a parked exchange outlives the request,
        # and then answers to the retry that takes it up.
        forwarded = UpstreamRequest(
            method=request.method,
            params=params,
            meta=meta,
            name=target.label,
            client=request.caller.client,
            seconds=timing.call_seconds or self._limits.seconds,
            longest=timing.longest_seconds or self._limits.longest,
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


def _policy_digest(view: PolicyView, request: CallRequest) -> str:
    """The digest of the policy text that decided."""
    workspace = view.workspaces.get(request.slug)
    return "" if workspace is None else workspace.policy


def _answer_of_failure(admitted: AdmittedCall, error: HouseError) -> CallFailed | WasCut:
    """What an exchange that failed means; Stale = not written, for want of an admission."""
    if admitted.cut.reason is None and type(error) is not Stale:
        return CallFailed(error, admitted.call)
    return admitted.was_cut()
