"""What becomes of a server's questions: the two bridges, and the two pairs that need none.

| server asks | modern client | legacy client |
|---|---|---|
| in a request (legacy) | parked; answered `input_required`; taken up by the retry | asked at once |
| by `input_required` (modern) | relayed, its state sealed | asked at once, then asked again |
| nothing yet, by a state alone (modern) | relayed | asked again after a moment |

A question goes to the client that caused it, and only if that client declared that it can be asked.
Source: decision 0014; MCP 2026-07-28 basic/patterns/mrtr; 2025-11-25 client/elicitation.
"""

import asyncio
from collections.abc import Mapping

from msgspec import Raw, Struct

from gatelodge.core.errors import Invalid, LimitReached, UpstreamBrokeProtocol
from gatelodge.core.jsontext.jsonrpc import rpc_code
from gatelodge.core.protocol.bridge import questions as wire
from gatelodge.core.protocol.bridge.questions import InputRequest, RetriedRequest
from gatelodge.core.protocol.bridge.state import (
    REPEATED,
    ROUNDS,
    ParkedCall,
    StateBinding,
    request_digest,
)
from gatelodge.core.protocol.bridge.tasks import METHODS
from gatelodge.core.protocol.capabilities import may_ask
from gatelodge.core.protocol.envelope import Members, given
from gatelodge.core.protocol.result import misshapen
from gatelodge.flows.gateway.admission import AdmittedCall, CallControl
from gatelodge.flows.gateway.answers import (
    CallAnswer,
    CallFailed,
    QuestionsForClient,
    RpcFailed,
    ServerAsks,
    UpstreamResult,
)
from gatelodge.flows.gateway.bridge.rounds import InputRounds, ParkedExchange
from gatelodge.flows.gateway.request import CallRequest, NotificationBuffer, Put
from gatelodge.flows.gateway.targets import CallTarget
from gatelodge.ports.upstream import UpstreamReply

STALE = "this state is not good for this request (any more); make the request anew"
ELSEWHERE = "the call waits on another node; make the request anew"
Ended = UpstreamResult | RpcFailed | CallFailed
"""An answer in which no request asks anything."""
PAUSE, LONGEST_PAUSE = 0.05, 0.25
"""Seconds before a server is asked again that wants nothing but that; doubled each time."""


class GoesOn(Struct, frozen=True):
    """The call goes on: the exchange as it is, or (`again`) one more request with these params."""

    params: Members
    number: int = 0
    again: bool = False


class QuestionBridge:
    """Settles one question after the other. Owned by the event loop."""

    def __init__(self, rounds: InputRounds) -> None:
        self._rounds = rounds

    def waits(self, request: CallRequest, target: CallTarget) -> bool:
        """Say whether this is the retry of a call that waits here, and so is counted already."""
        if request.round is None or request.round.state is None:
            return False
        state = self._rounds.opened(request.round.state, _state_binding(request, target))
        return isinstance(state, ParkedCall) and self._rounds.waits(state)

    def take_up(self, admitted: AdmittedCall, brought: RetriedRequest) -> GoesOn | CallFailed:
        """Go on with the call that a retry belongs to."""
        request, target, cut = admitted.request, admitted.target, admitted.cut
        responses = brought.responses or {}
        if brought.state is None:
            # A server that keeps no state is simply told the answers.
            return GoesOn(wire.retry_params(target.params, responses or None, b""))
        state = self._rounds.opened(brought.state, _state_binding(request, target))
        if state is None:
            return CallFailed(Invalid(STALE), "")
        if not isinstance(state, ParkedCall):
            params = target.params
            # A server that asked by an error (-32042) wants the very same request again.
            if state.state != REPEATED:
                params = wire.retry_params(params, responses or None, state.state)
            return GoesOn(params, state.round)
        waiting = self._rounds.take(state)
        if waiting is None:
            text = ELSEWHERE if self._rounds.elsewhere(state) else STALE
            return CallFailed(Invalid(text), "")
        waiting.licence.room = cut.licence.room
        # Whatever cuts this retry has to end the exchange that it took over.
        cut.exchange, cut.ears, cut.licence = waiting.exchange, waiting.ears, waiting.licence
        # The request that began the exchange is over: from now on the retry's admission decides.
        cut.licence.holder = admitted
        waiting.ears.attach(request.notify, request.meta)
        # While something is still open the exchange says it again, and the client is asked again.
        if waiting.numbers.keys() <= responses.keys():
            for key, number in waiting.numbers.items():
                said = UpstreamReply(result=responses[key])
                waiting.exchange.answer(number, said, admitted.holds)
        return GoesOn(target.params, state.round)

    async def settle(
        self, admitted: AdmittedCall, asks: ServerAsks, number: int
    ) -> GoesOn | CallAnswer:
        """Bring the questions to the client; what then becomes of the call."""
        request, cut, call = admitted.request, admitted.cut, admitted.call
        legacy = request.era == "legacy"
        # A server that never stops asking would keep the call's place for ever.
        if number > ROUNDS:
            _abort_exchange(cut)
            return CallFailed(LimitReached(f"the server asked more than {ROUNDS} times"), call)
        if not asks.questions and legacy:
            # Nobody is asked anything, so nothing but this pause keeps it from a busy loop.
            await asyncio.sleep(min(PAUSE * 2 ** (number - 1), LONGEST_PAUSE))
            params = wire.retry_params(admitted.target.params, None, asks.state)
            return GoesOn(params, again=cut.reason is None)
        askable = _may_be_asked(request, asks)
        if asks.error is not None and (legacy or not askable):
            # A legacy client would visit the page that the error names, so it gets the error only
            # if it declared that it can be sent there.
            return (
                CallFailed(_undeclared_capability_error(asks.questions), call)
                if legacy and not askable
                else RpcFailed(asks.error, call, "legacy")
            )
        if not askable or (legacy and request.put is None):
            return self._refuse_questions(admitted, asks)
        if request.put is not None:
            return await self._ask_legacy_client(admitted, asks, request.put)
        return self._answer_with_questions(admitted, asks, number)

    def _answer_with_questions(
        self, admitted: AdmittedCall, asks: ServerAsks, number: int
    ) -> QuestionsForClient | CallFailed:
        """Answer a modern client with the questions, and a state to come back with."""
        request, cut, call = admitted.request, admitted.cut, admitted.call
        binding = _state_binding(request, admitted.target)
        if not asks.numbers:
            kept = asks.state if asks.error is None else REPEATED
            sealed = self._rounds.relayed(binding, number, kept)
            if asks.members is None:
                return QuestionsForClient(wire.input_required(asks.questions, sealed), call)
            return QuestionsForClient(wire.with_state(asks.members, sealed), call)
        assert cut.exchange is not None
        ears = cut.ears or request.hearing
        ears = ears if isinstance(ears, NotificationBuffer) else NotificationBuffer(None)
        waiting = ParkedExchange(cut.exchange, asks.numbers, ears, cut.licence)
        # This request ends with its answer; the parked call needs an entry by which it can be cut.
        parked = self._rounds.park(waiting, admitted.registered(), binding, number)
        if parked is None:
            _abort_exchange(cut)
            return CallFailed(LimitReached("too many of your calls wait for an answer"), call)
        cut.exchange = None  # it is the parked call's from now on
        cut.licence.rest()
        asked = {key: wire.to_modern(question) for key, question in asks.questions.items()}
        return QuestionsForClient(wire.input_required(asked, parked), call)

    async def _ask_legacy_client(
        self, admitted: AdmittedCall, asks: ServerAsks, ask_client: Put
    ) -> GoesOn | CallAnswer:
        """Ask a legacy client; one that cannot be asked a thing in its revision declines it."""
        request, cut, params = admitted.request, admitted.cut, admitted.target.params
        put, told = _for_revision(asks.questions, request.proto, admitted.call)
        # Questions may hold what the server knows, so they leave only while the call is admitted.
        answers = await ask_client(put) if put and admitted.holds() else {}
        told |= _declined_unknown_questions(put, answers, request.proto)
        if cut.reason is None and not admitted.holds_anew():
            # What the client says goes nowhere once its call could not be made any more.
            cut(admitted.why_not)
        if cut.reason is not None:
            # Whoever cut it told the server; what is awaited next says so.
            return GoesOn(params)
        if asks.numbers:
            assert cut.exchange is not None
            for name, number in asks.numbers.items():
                # What stands for the client's answer where it was not or could not be asked.
                said = UpstreamReply(result=told[name]) if name in told else answers.get(name)
                cut.exchange.answer(number, said or _UNANSWERED, admitted.holds)
            return GoesOn(params)
        responses: Members = dict(told)
        for name, question in put.items():
            if name in told:
                continue
            value = wire.response_value(question.method, answers.get(name, _UNANSWERED).result)
            if value is None:
                fault = UpstreamBrokeProtocol("the client did not answer the server")
                return CallFailed(fault, admitted.call)
            responses[name] = value
        return GoesOn(wire.retry_params(params, responses, asks.state), again=True)

    def _refuse_questions(self, admitted: AdmittedCall, asks: ServerAsks) -> GoesOn | CallFailed:
        """The client cannot be asked this."""
        request, exchange = admitted.request, admitted.cut.exchange
        if asks.numbers and exchange is not None:
            for name, question in asks.questions.items():
                error = wire.refusal(request.asker.capabilities, question.method, request.era)
                exchange.answer(asks.numbers[name], UpstreamReply(error=error), admitted.holds)
            # The server hears the refusals, and ends its call in its own way.
            return GoesOn({})
        return CallFailed(_undeclared_capability_error(asks.questions), admitted.call)


def checked(request: CallRequest, answer: Ended) -> Ended:
    """The answer itself, unless its client cannot read it, or be asked what it asks aside.

    Aside means from all rounds.
    """
    if type(answer) is UpstreamResult and answer.ending != "task_started":
        lacks = misshapen(request.method, answer.members)
        if lacks:
            text = f"the server's answer has no {lacks} that can be read"
            return CallFailed(UpstreamBrokeProtocol(text), answer.call)
    if type(answer) is UpstreamResult and "inputRequests" not in answer.members:
        return answer  # as nearly every one (hot path)
    aside = _questions_outside_rounds(request, answer)
    if all(_may_ask_question(request, each) for each in aside.values()):
        return answer
    return CallFailed(_undeclared_capability_error(aside), answer.call)


def _questions_outside_rounds(request: CallRequest, answer: Ended) -> Mapping[str, InputRequest]:
    """What a task asks, or an error that names pages to visit in a way nobody here can read."""
    if isinstance(answer, RpcFailed):
        visit = request.era == "legacy" and rpc_code(answer.error) == wire.URL_REQUIRED
        return {"": _VISIT} if visit else {}
    if not isinstance(answer, UpstreamResult):
        return {}
    if request.method not in METHODS and answer.ending != "task_started":
        return {}
    asked = given(answer.members, "inputRequests")
    if asked is None:
        return {}
    questions = wire.read_requests(asked)
    return {"": _UNREADABLE} if questions is None else questions


def _undeclared_capability_error(questions: Mapping[str, InputRequest]) -> UpstreamBrokeProtocol:
    links = [wire.link_text(each) for each in questions.values()]
    text = "the server asks what this client did not declare that it can answer"
    words = ". ".join([text, *(link for link in links if link)])
    return UpstreamBrokeProtocol(words, remedy="Use another client.")


_UNREADABLE = InputRequest("")
_VISIT = InputRequest("elicitation/create", Raw(b'{"mode":"url"}'))
_UNANSWERED = UpstreamReply(error=Raw(b'{"code":-32603,"message":"the client did not answer"}'))


def _state_binding(request: CallRequest, target: CallTarget) -> StateBinding:
    digest = request_digest(request.method, request.params)
    return StateBinding(request.workspace, request.alias, request.who.id, target.server, digest)


def _may_be_asked(request: CallRequest, asks: ServerAsks) -> bool:
    """True when the client can be asked all of it; a modern one is, by three methods only."""
    if request.era == "modern" and request.method not in wire.ASKING:
        return False
    return all(_may_ask_question(request, each) for each in asks.questions.values())


def _may_ask_question(request: CallRequest, question: InputRequest) -> bool:
    return may_ask(request.asker.capabilities, question.method, question.params)


def _for_revision(
    questions: Mapping[str, InputRequest], version: str, call: str
) -> tuple[dict[str, InputRequest], Members]:
    """The questions as that revision has them, and the answers for those that it has not."""
    put: dict[str, InputRequest] = {}
    told: Members = {}
    for name, question in questions.items():
        known = wire.to_legacy(question, version, f"{call}-{len(put)}")
        if known is None:
            told[name] = wire.DECLINED
        else:
            put[name] = known
    return put, told


def _declined_unknown_questions(
    put: Mapping[str, InputRequest], answers: Mapping[str, UpstreamReply], version: str
) -> Members:
    """Declines for a client that was asked what its revision has not, and does not know it."""
    return {
        name: wire.DECLINED
        for name, question in put.items()
        if wire.unknown_to(question, version, answers.get(name, _UNANSWERED).error)
    }


def _abort_exchange(cut: CallControl) -> None:
    if cut.exchange is not None:
        cut.exchange.abort("cancelled")
