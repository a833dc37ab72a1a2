"""The call path: the one way to an upstream, and the promise of this product in one function.

Who is calling was settled by the face (a fresh view, a good credential, `CallRequest.who`); from
there `Calls.call` reads from top to bottom: what, same tool, may they, write it down, forward, close
the record, hand back. Denials are values. Nothing else in this house reaches an upstream for a
member (a house test looks).
"""

import asyncio
from collections.abc import Callable
from typing import Literal

from msgspec import Raw, Struct

from gatelodge.core.errors import LedgerDown, LimitReached, UpstreamError, UpstreamTimeout
from gatelodge.core.errors import UpstreamUnreachable
from gatelodge.core.policy.decision import Allow, Decision, Deny
from gatelodge.core.protocol.envelope import Members
from gatelodge.core.protocol.result import call_ending, read_result
from gatelodge.core.view import CredentialEntry, PrincipalEntry, ToolEntry, View, decide
from gatelodge.flows.audit.recorder import Called, Caller, Denied, Ended, Recorder
from gatelodge.flows.gateway.inflight import CutReason, InFlight, Running
from gatelodge.ports.upstream import Exchange, Reply, Request, Upstreams
from gatelodge.ports.world import Clock

Durability = Literal["strict", "overlap", "async"]
Notify = Callable[[str, bytes], None]


class CallRequest(Struct, frozen=True, kw_only=True):
    """One tools/call, read and authenticated. `shown` is the name the client used."""

    who: PrincipalEntry
    credential: CredentialEntry
    caller: Caller
    log: str
    view: Callable[[], View]
    find: Callable[[View], ToolEntry | None]
    method: str
    params: Members
    meta: Members
    proto: str
    bytes_in: int
    notify: Notify | None


class Returned(Struct, frozen=True):
    """The upstream's result, raw and read."""

    raw: Raw
    members: Members
    tool: ToolEntry
    call: str


class RpcFailed(Struct, frozen=True):
    """The upstream's JSON-RPC error, raw."""

    error: Raw


class NotAllowed(Struct, frozen=True):
    """The policy's answer; when `deny.hidden` it must look like an unknown tool."""

    deny: Deny
    call: str


class Failed(Struct, frozen=True):
    """Nothing came back: an error of ours or of the upstream's, safe to show."""

    error: UpstreamError | LimitReached | LedgerDown
    call: str


class Ended_(Struct, frozen=True):
    """The call was cut."""

    reason: CutReason
    call: str


CallAnswer = Returned | RpcFailed | NotAllowed | Failed | Ended_
