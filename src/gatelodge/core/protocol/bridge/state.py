"""What a client must give back, as sealed values: the state of a question, the id of a task.

Each is bound to who was asked, where and about what, and (states) limited in time, so that it is
of use to nobody else and for nothing else. Sealing is the caller's.
Source: MCP 2026-07-28 basic/patterns/mrtr (server requirements 4 and 5); the tasks extension,
Security Considerations.
"""

from hashlib import sha256
from typing import Final

import msgspec
from msgspec import Struct

from gatelodge.core.protocol.envelope import Members
from gatelodge.core.protocol.session import unpacked

CONTEXT: Final = b"mcp-state"
TASK_CONTEXT: Final = b"mcp-task"
ROUNDS: Final = 10
"""Rounds of questions that one request may take."""

REPEATED: Final = b"null"
"""No state of a server, which is a string."""

_PER_ROUND: Final = frozenset(("_meta", "inputResponses", "requestState"))


class StateBinding(Struct, frozen=True, array_like=True):
    """Who asks whom, where and what: `alias` is the endpoint's, `digest` that of the request."""

    workspace: str
    alias: str
    principal: str
    server: str
    digest: bytes


class ParkedCall(Struct, frozen=True, array_like=True, tag="parked"):
    """A call that waits on `node` under `handle` for its client's answer (suspend bridge).

    `ends_at` is microseconds UTC; `round` counts from 1.
    """

    binding: StateBinding
    ends_at: int
    round: int
    node: str
    handle: bytes


class RelayedCall(Struct, frozen=True, array_like=True, tag="relayed"):
    """A call that stands nowhere: the server keeps what it knows in its own `state`.

    `state` is that server's requestState as raw JSON; empty when it gave none, `REPEATED` when a
    legacy server wants URLs visited first: then the retry repeats the call as it was.
    """

    binding: StateBinding
    ends_at: int
    round: int
    state: bytes


class TaskId(Struct, frozen=True, array_like=True):
    """A server's task, whose it is, and the tool whose call it stands for."""

    workspace: str
    alias: str
    principal: str
    server: str
    tool: str
    task: str


State = ParkedCall | RelayedCall

pack = msgspec.msgpack.Encoder().encode
_states: msgspec.msgpack.Decoder[State] = msgspec.msgpack.Decoder(State)
_task_ids = msgspec.msgpack.Decoder(TaskId)


def read_state(plain: bytes | None) -> State | None:
    """The state in opened bytes, None when there is none."""
    return unpacked(plain, _states)


def read_task_id(plain: bytes | None) -> TaskId | None:
    """The task in opened bytes, None when there is none."""
    return unpacked(plain, _task_ids)


def holds(state: State, binding: StateBinding, now: int) -> bool:
    """Say whether a state is good for this caller, endpoint, server and request, and in time.

    That it is used once only is the caller's to see to (mrtr, server requirement 5).
    """
    return state.binding == binding and now < state.ends_at


def request_digest(method: str, params: Members) -> bytes:
    """SHA-256 over a request: its method and each of its params as they were spelled.

    `_meta` and what belongs to a round are left out. Params count in the order of their names, and
    each with its length, so that no two requests are read as one. A client that spells the same
    arguments anew in another order makes another request.
    """
    parts = [method.encode()]
    for name in sorted(params.keys() - _PER_ROUND):
        parts += (name.encode(), bytes(params[name]))
    return sha256(b"".join(b"%d:%b" % (len(part), part) for part in parts)).digest()
