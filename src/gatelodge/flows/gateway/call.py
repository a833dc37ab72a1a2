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

from gatelodge.core.errors import (
    HouseError,
    LedgerDown,
    LimitReached,
    UpstreamBrokeProtocol,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from gatelodge.core.policy.decision import Allow, Deny
from gatelodge.core.protocol.envelope import Members
from gatelodge.core.protocol.result import call_ending, read_result, rpc_code
from gatelodge.core.view import View, decide
from gatelodge.core.view_entry import CredentialEntry, PrincipalEntry, ToolEntry
from gatelodge.flows.audit.recorder import Called, Caller, Denied, Ended, Recorder
from gatelodge.flows.gateway.inflight import CutReason, InFlight, Running
from gatelodge.ports.upstream import Exchange, Reply, Request, Upstreams
from gatelodge.ports.world import Clock

_encode = msgspec.json.Encoder().encode

Durability = Literal["strict", "overlap", "async"]
Notify = Callable[[str, bytes], None]
_CUT_OUTCOME = {"client_gone": "client_gone", "cancelled": "cancelled", "shutdown": "cancelled"}


class CallRequest(Struct, frozen=True, kw_only=True):
    """One tools/call, read and authenticated; `find` resolves the name that the client used."""

    who: PrincipalEntry
    credential: CredentialEntry
    caller: Caller
    workspace: str
    slug: str
    log: str
    find: Callable[[View], ToolEntry | None]
    params: Members
    meta: Members
    proto: str
    bytes_in: int
    request: tuple[bytes, bytes] | None
    notify: Notify | None


class Returned(Struct, frozen=True):
    """The upstream's result, raw and read."""

    raw: Raw
    members: Members
    call: str


class RpcFailed(Struct, frozen=True):
    """The upstream's JSON-RPC error, raw."""

    error: Raw
    call: str


class NotAllowed(Struct, frozen=True):
    """The policy's answer; when `deny.hidden` it must look like an unknown tool."""

    deny: Deny
    call: str


class Failed(Struct, frozen=True):
    """Nothing came back: an error of ours or of the upstream's, safe to show."""

    error: HouseError
    call: str


class WasCut(Struct, frozen=True):
    """The call was ended from outside; `reason` says by what."""

    reason: CutReason
    call: str


CallAnswer = Returned | RpcFailed | NotAllowed | Failed | WasCut


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
    """The call path. Holds its ports and nothing of any call."""

    def __init__(
        self,
        upstreams: Upstreams,
        recorder: Recorder,
        inflight: InFlight,
        clock: Clock,
        limits: "CallLimits",
    ) -> None:
        self._upstreams = upstreams
        self._recorder = recorder
        self._inflight = inflight
        self._clock = clock
        self._limits = limits

    async def call(self, request: CallRequest, view: Callable[[], View], cut: Cut) -> CallAnswer:
        """Make one call for a member, or say why not; both are in the log before this returns."""
        now = view()
        tool = request.find(now)  # what
        decision = self._may(now, request, tool)  # the same tool, and may they
        if tool is None or isinstance(decision, Deny):
            return await self._not_allowed(now, request, tool, decision)
        running = Running("call", request.who.id, request.credential.id, request.workspace, cut)
        running.server, running.request = tool.server, request.request
        self._inflight.add(running)
        try:
            started = self._clock.boottime()
            overlap = self._limits.durability == "overlap" and tool.read_only
            call, intent = self._write_down(now, request, tool, decision)  # write it down
            try:
                if intent is not None and not overlap:
                    await intent
                ended = self._refused_since(view(), request, tool, cut, call)
                if ended is None:
                    cut.exchange = self._upstreams.begin(  # forward
                        tool.server, self._forwarded(request, tool), request.notify
                    )
                    ended = await self._finish(cut.exchange, cut, call)
                if intent is not None and overlap:
                    await intent
            except LedgerDown as down:
                if cut.exchange is not None:
                    cut.exchange.abort("cancelled")
                return Failed(down, call)
            return await self._close(request.log, ended, call, started)  # close, hand back
        finally:
            self._inflight.remove(running)

    def _may(self, view: View, request: CallRequest, tool: ToolEntry | None) -> Allow | Deny:
        if tool is None:
            return Deny("tool_unknown", hidden=True)
        calls, _ = self._inflight.counts(request.who.id)
        if calls >= self._limits.per_principal:
            return Deny("quota", text="Too many of your calls are running at once.")
        decision = decide(view, request.who, tool, self._clock.now(), request.credential.context)
        if isinstance(decision, (Allow, Deny)):
            return decision
        # No way to ask a person exists in this release, so what needs an answer is refused.
        return Deny("approval_denied", rule=decision.rule, text="This call needs an approval.")

    def _refused_since(
        self, view: View, request: CallRequest, tool: ToolEntry, cut: Cut, call: str
    ) -> CallAnswer | None:
        """Look once more between the record and the forward: access may have ended meanwhile."""
        if cut.reason is None and not view.admits(request.credential, tool.server):
            cut.reason = "revoked"
        return None if cut.reason is None else WasCut(cut.reason, call)

    def _future(self) -> "asyncio.Future[None] | None":
        if self._limits.durability == "async":
            return None
        return asyncio.get_running_loop().create_future()

    def _write_down(
        self, view: View, request: CallRequest, tool: ToolEntry, decision: Allow
    ) -> "tuple[str, asyncio.Future[None] | None]":
        written = self._future()
        called = Called(
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
        return self._recorder.intent(request.log, request.caller, called, written), written

    async def _not_allowed(
        self, view: View, request: CallRequest, tool: ToolEntry | None, decision: Allow | Deny
    ) -> NotAllowed | Failed:
        deny = decision if isinstance(decision, Deny) else Deny("tool_unknown", hidden=True)
        written = self._future()
        denied = Denied(
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
        call = self._recorder.denied(request.log, request.caller, denied, written)
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
        )

    async def _finish(self, exchange: Exchange, cut: Cut, call: str) -> CallAnswer:
        """Wait for the upstream, whose deadline the exchange keeps itself."""
        try:
            reply: Reply = await exchange.reply
        except (UpstreamError, LimitReached) as error:
            return Failed(error, call)
        except asyncio.CancelledError:
            if cut.reason is None:
                raise
            return WasCut(cut.reason, call)
        if cut.reason is not None:
            return WasCut(cut.reason, call)
        if reply.error is not None:
            return RpcFailed(reply.error, call)
        members = None if reply.result is None else read_result(reply.result)
        if reply.result is None or members is None:
            return Failed(_broke("the server's answer holds no result"), call)
        if call_ending(members) == "upstream_protocol":
            return Failed(_broke("the server asked back, which is not bridged yet"), call)
        return Returned(reply.result, members, call)

    async def _close(self, log: str, ended: CallAnswer, call: str, started: float) -> CallAnswer:
        """Close the record; the answer leaves only when that is durable.

        A crash before this line leaves the intent alone: the next start closes it as unresolved.
        """
        written = self._future()
        ms = int((self._clock.boottime() - started) * 1000)
        self._recorder.outcome(log, call, _ended(ended, ms), written)
        if written is not None:
            try:
                await written
            except LedgerDown as down:
                return Failed(down, call)
        return ended


class CallLimits(Struct, frozen=True, kw_only=True):
    """What a call may cost, and how it is written down (decision 0004)."""

    durability: Durability
    seconds: float
    result_bytes: int
    per_principal: int


def _policy(view: View, request: CallRequest) -> str:
    """The digest of the policy text that decided."""
    workspace = view.workspaces.get(request.slug)
    return "" if workspace is None else workspace.policy


def _broke(detail: str) -> UpstreamBrokeProtocol:
    return UpstreamBrokeProtocol(detail)


def _ended(answer: CallAnswer, ms: int) -> Ended:
    """The outcome record of a forwarded call."""
    match answer:
        case Returned(raw, members):
            return Ended(outcome=call_ending(members), ms=ms, bytes_out=len(bytes(raw)))
        case RpcFailed(error):
            return Ended(outcome="rpc_error", ms=ms, bytes_out=0, rpc_code=rpc_code(error))
        case WasCut(reason):
            return Ended(outcome=_CUT_OUTCOME.get(reason, "revoked"), ms=ms, bytes_out=0)
        case Failed(error):
            return Ended(outcome=_failure(error), ms=ms, bytes_out=0)
        case _:
            return Ended(outcome="internal", ms=ms, bytes_out=0)


def _failure(error: HouseError) -> str:
    if isinstance(error, UpstreamTimeout):
        return "timeout"
    if isinstance(error, LimitReached):
        return "blocked_response"
    return "upstream_unreachable" if isinstance(error, UpstreamUnreachable) else "upstream_protocol"
