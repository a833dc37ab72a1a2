"""Tasks of a modern server on their way to a modern client: under ids that only it can use.

A task id may be all that is needed to reach a task, so the server's own never leaves the house: a
sealed one stands for it, and each request about a task is opened and judged anew.
Source: the extension `io.modelcontextprotocol/tasks` (Polymorphic Results, Security
Considerations, Streamable HTTP: Routing Headers); 2025-11-25 basic/utilities/tasks for
`execution.taskSupport`, whose tasks are not relayed.
"""

from typing import Final

import msgspec
from msgspec import Raw

from gatelodge.core.protocol.bridge.error_map import error_for
from gatelodge.core.protocol.envelope import Members, join_members, members_of, read_text
from gatelodge.core.protocol.shown.messages import shown_error, shown_result
from gatelodge.core.protocol.shown.uris import UriPrefix

METHODS: Final = frozenset(("tasks/get", "tasks/update", "tasks/cancel"))
AUGMENTED: Final = "tools/call"
"""The only request that may be answered with a task (Supported Methods)."""
REQUIRED: Final = b'{"requiredCapabilities":{"extensions":{"io.modelcontextprotocol/tasks":{}}}}'
"""The `data` of the -32021 for a client that uses tasks and did not declare them."""

_encode = msgspec.json.Encoder().encode


def task_of(members: Members) -> str | None:
    """The task that a result, a request's params or a notification's params name."""
    return read_text(members.get("taskId"))


def with_task(members: Members, task: str) -> Members:
    """The same members about a task of that id; without a task id they stay what they are.

    Of a request the id is the server's own again, of an answer or notification the sealed one.
    """
    return members | {"taskId": Raw(_encode(task))} if "taskId" in members else members


def shown_task(raw: Raw, members: Members, sealed: str, prefix: UriPrefix) -> tuple[Raw, Members]:
    """A task's result or notification as its client sees it: sealed id, shown URIs, known errors.

    A finished task holds what the request itself would have been answered, and is shown as that
    would have been (Task Execution Errors).
    """
    new = with_task(members, sealed)
    result, error = members.get("result"), members.get("error")
    inner = members_of(result)
    if result is not None and inner is not None:
        shown, _ = shown_result(AUGMENTED, result, inner, prefix)
        new = new if shown is result else new | {"result": shown}
    if error is not None:
        # Tasks pass between modern peers alone, so neither side has another era.
        told = shown_error(prefix, error_for(error, AUGMENTED, "modern", "modern"))
        new = new if told is error else new | {"error": told}
    return (raw, members) if new is members else (Raw(join_members(new)), new)


TASKS_ONLY = "it is for tasks only, which the gate does not relay; nothing needs to be done."
"""Why such a tool is left out: it is as its server wants it, and nothing can be mended here."""


def needs_task(definition: Raw) -> bool:
    """True for a tool that can be called as a task of 2025-11-25 only, which is not relayed.

    Each call would end in an error (2025-11-25 basic/utilities/tasks, Tool-Level Negotiation), so
    nobody is shown it. The tasks extension has no such word: there the server decides by itself.
    """
    if b"taskSupport" not in bytes(definition):
        return False
    execution = members_of((members_of(definition) or {}).get("execution")) or {}
    return read_text(execution.get("taskSupport")) == "required"
