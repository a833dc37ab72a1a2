"""Questions that a server asks while it works, in either era's form, and their answers.

A modern server answers `input_required` and is asked again with the answers; a legacy one sends a
request and waits. Nothing of a question is rewritten but what one era has and the other has not,
and members that are null where libraries write the absent ones so: these are left out.
Source: MCP 2026-07-28 basic/patterns/mrtr and client/elicitation; 2025-11-25 client/elicitation
(URL Elicitation Required Error).
"""

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Raw, Struct

from gatelodge.core.jsontext.jsonrpc import INVALID_PARAMS, METHOD_NOT_FOUND, parse_fault
from gatelodge.core.jsontext.keys import repeats_a_key
from gatelodge.core.jsontext.shape import read_as
from gatelodge.core.jsontext.weight import MOST_MEMBERS
from gatelodge.core.protocol.envelope import (
    NULL,
    Members,
    given,
    join_members,
    members_of,
    read_text,
)
from gatelodge.core.protocol.version import (
    META_PREFIX,
    META_PROGRESS,
    MISSING_CAPABILITY,
    Era,
)

ASKING: Final = frozenset(("tools/call", "prompts/get", "resources/read"))
"""Requests that may be answered with `input_required` (mrtr, Supported Requests)."""
ASKED: Final = frozenset(("elicitation/create", "sampling/createMessage", "roots/list"))
"""What may be asked of a client."""
MOST: Final = 32
"""Questions in one answer; a server that asks more at once is not followed."""
URL_REQUIRED: Final = -32_042
"""The error of 2025-11-25 that says: first visit these URLs. No later revision has it."""

DECLINED: Final = Raw(b'{"action":"decline"}')
CANCELLED: Final = Raw(b'{"action":"cancel"}')
NOBODYS: Final = Raw(
    b'{"code":-32603,"message":"no running call can be asked this: '
    b'of several calls it cannot be told which one asks"}'
)
"""What a server hears whose question belongs to no call that could be told."""
MOST_STATE: Final = 1 << 20
"""Bytes of a requestState that is handed on: sealed it goes to the client, and comes back."""
_NO_PARAMS: Final = Raw(b"{}")
_URL: Final = Raw(b'"url"')
_FIRST_ELICITATION: Final = "2025-06-18"
_FIRST_MODES: Final = "2025-11-25"
"""Revisions are dates, and compare as such."""

_encode = msgspec.json.Encoder().encode


class InputRequest(Struct, frozen=True):
    """One question: its method, and its params as a JSON object."""

    method: str
    params: Raw = _NO_PARAMS


class InputRequired(Struct, frozen=True):
    """What a modern server wants to know, by its own keys.

    `state` is its requestState as raw JSON, to be given back as it is; empty when it gave none.
    """

    requests: dict[str, InputRequest]
    state: bytes = b""


class RetriedRequest(Struct, frozen=True):
    """A request that may be the next round of an earlier one.

    `params` are those of the request itself. `responses` and `state` are None when the client sent
    none; a request with neither is a first one.
    """

    params: Members
    responses: Members | None
    state: str | None


def read_requests(raw: Raw) -> dict[str, InputRequest] | None:
    """The questions of an `inputRequests` object; None when it is not one.

    Each must be one of the three that exist, with an object as params (mrtr, server requirement 2).
    A repeated key is refused: who reads the first and who reads the last would see two questions.
    """
    members = _unique_members(raw)
    if members is None or len(members) > MOST:
        return None
    found: dict[str, InputRequest] = {}
    for key, value in members.items():
        request = _unique_members(value) or {}
        method = read_text(request.get("method"))
        params = given(request, "params")
        # The schema lets only this question go without params, as it has none of its own.
        if params is None and method == "roots/list":
            params = _NO_PARAMS
        if method not in ASKED or params is None or _unique_members(params) is None:
            return None
        found[key] = InputRequest(method, params)
    return found


def _unique_members(raw: Raw) -> Members | None:
    """The members of an object that names each of them once, and not too many."""
    members = members_of(raw)
    if members is None or len(members) > MOST_MEMBERS or repeats_a_key(raw, members):
        return None
    return members


def read_input_required(result: Members) -> InputRequired | None:
    """What an `input_required` result asks; None when it is malformed.

    At least one question or a state must be there, and the state is a string (mrtr, server
    requirements 2, 3 and 6); one of more than `MOST_STATE` bytes is not handed on.
    """
    state = given(result, "requestState")
    if state is not None and (len(bytes(state)) > MOST_STATE or read_text(state) is None):
        return None
    asked = given(result, "inputRequests")
    requests = {} if asked is None else read_requests(asked)
    if requests is None or (not requests and state is None):
        return None
    return InputRequired(requests, b"" if state is None else bytes(state))


def input_required(requests: Mapping[str, InputRequest], state: str | None) -> Raw:
    """The result that asks a modern client these questions; `state` is our sealed requestState."""
    asked = {key: {"method": q.method, "params": q.params} for key, q in requests.items()}
    result: dict[str, object] = {"resultType": "input_required"}
    if asked:
        result["inputRequests"] = asked
    if state is not None:
        result["requestState"] = state
    return Raw(_encode(result))


def with_state(result: Members, state: str | None) -> Raw:
    """A modern server's `input_required` with our sealed state in the place of its own.

    All else stays as it is.
    """
    # The server's own state stays here: sealed it is bound to one caller, and unreadable.
    kept = {key: value for key, value in result.items() if key != "requestState"}
    asked = members_of(given(kept, "inputRequests"))
    if asked is None:
        kept.pop("inputRequests", None)
    elif any(_null_params(each) for each in asked.values()):
        kept["inputRequests"] = Raw(
            join_members({k: _without_null_params(v) for k, v in asked.items()})
        )
    if state is not None:
        kept["requestState"] = Raw(_encode(state))
    return Raw(join_members(kept))


def _null_params(request: Raw) -> bool:
    return (members_of(request) or {}).get("params") == NULL


def _without_null_params(request: Raw) -> Raw:
    """The request, without params that are null."""
    if not _null_params(request):
        return request
    members = members_of(request) or {}
    return Raw(join_members({key: value for key, value in members.items() if key != "params"}))


def read_retry(params: Members) -> RetriedRequest | None:
    """The request without what belongs to its round; None when answers or state are malformed.

    Answers are an object of objects, the state a string (mrtr, Error Handling).
    """
    answered, sealed = given(params, "inputResponses"), given(params, "requestState")
    if answered is None and sealed is None:
        return RetriedRequest(without_round(params), None, None)
    responses = members_of(answered)
    state = read_text(sealed)
    if (answered is not None and responses is None) or (sealed is not None and state is None):
        return None
    answers = responses or {}
    # More answers than one round can ask for belong to no round.
    if len(answers) > MOST or any(members_of(value) is None for value in answers.values()):
        return None
    return RetriedRequest(without_round(params), responses, state)


def without_round(params: Members) -> Members:
    """The params of the request itself, without what belongs to one of its rounds."""
    return {k: v for k, v in params.items() if k not in ("inputResponses", "requestState")}


def retry_params(params: Members, responses: Members | None, state: bytes) -> Members:
    """The params of the next round to a modern server: answers, and its state exactly as it was.

    What is None or empty is left out (mrtr, client requirements 1 and 2).
    """
    again = dict(params)
    if responses is not None:
        again["inputResponses"] = Raw(join_members(responses))
    if state:
        again["requestState"] = Raw(state)
    return again


def from_legacy(method: str, params: Raw) -> InputRequest:
    """A legacy server's question, to be handed on.

    Left out: `task`, which no client of this gate is asked for, and what is reserved in `_meta`,
    which ends at each hop.
    """
    members = members_of(params)
    if members is None:
        return InputRequest(method)
    kept = {k: v for k, v in members.items() if k not in ("task", "_meta")}
    meta = members_of(members.get("_meta")) or {}
    passing = {
        k: v for k, v in meta.items() if k != META_PROGRESS and not k.startswith(META_PREFIX)
    }
    if passing:
        kept["_meta"] = Raw(join_members(passing))
    same = len(kept) == len(members) and len(passing) == len(meta)
    return InputRequest(method, params if same else Raw(join_members(kept)))


def to_modern(request: InputRequest) -> InputRequest:
    """A legacy server's question as a modern client knows it: without an `elicitationId`."""
    members = members_of(request.params) or {}
    if "elicitationId" not in members:
        return request
    kept = {key: value for key, value in members.items() if key != "elicitationId"}
    return InputRequest(request.method, Raw(join_members(kept)))


def to_legacy(request: InputRequest, version: str, elicitation: str) -> InputRequest | None:
    """A server's question as a legacy client of this revision knows it.

    None when no such client could read it. Whether it can be asked is what it declared, whatever
    its revision says of it (`may_ask`). `elicitation` is the elicitationId for URL mode, which the
    modern era has not; that of a legacy server stays, since the server may say under it that the
    visit is over.
    """
    if request.method != "elicitation/create":
        return request
    members = members_of(request.params)
    if members is None:
        return None
    if read_text(members.get("mode")) == "url":
        if given(members, "elicitationId") is not None:
            return request
        named = members | {"elicitationId": Raw(_encode(elicitation))}
        return InputRequest(request.method, Raw(join_members(named)))
    said = given(members, "mode")
    # Clients from before the modes have forms alone, and a strict one refuses the member.
    if "mode" not in members or (said is not None and version >= _FIRST_MODES):
        return request
    kept = {key: value for key, value in members.items() if key != "mode"}
    return InputRequest(request.method, Raw(join_members(kept)))


def unknown_to(request: InputRequest, version: str, error: Raw | None) -> bool:
    """Say whether a client answered that it does not know a question which came after its revision.

    It may know it all the same, having declared so: only its own answer tells.
    """
    older = request.method == "elicitation/create" and version < _FIRST_ELICITATION
    return older and error is not None and parse_fault(error).code == METHOD_NOT_FOUND


def from_url_required(error: Raw) -> dict[str, InputRequest] | None:
    """The questions of a legacy `-32042`: one URL to visit each; None when it is no such error.

    The retry then simply repeats the request (2025-11-25 client/elicitation).
    """
    fault = parse_fault(error)
    listed = (members_of(fault.data) or {}).get("elicitations")
    if fault.code != URL_REQUIRED or listed is None:
        return None
    elicitations = read_as(listed, list[Raw])
    if elicitations is None or not 0 < len(elicitations) <= MOST:
        return None
    found: dict[str, InputRequest] = {}
    for number, raw in enumerate(elicitations, 1):
        members = _unique_members(raw)
        if members is None or not _is_url_elicitation(members):
            return None
        # The first one adds a mode that is missing, the last one replaces a mode of null.
        params = Raw(join_members({"mode": _URL} | members | {"mode": _URL}))
        found[f"url-{number}"] = to_modern(from_legacy("elicitation/create", params))
    return found


def _is_url_elicitation(members: Members) -> bool:
    """True for an elicitation that has a URL and says why."""
    said = read_text(members.get("url")), read_text(members.get("message"))
    mode = given(members, "mode")
    return None not in said and (mode is None or read_text(mode) == "url")


def link_text(request: InputRequest) -> str:
    """What a person is told who must visit a URL and whose client cannot be asked to show it.

    The server's words, and the URL where it is one of the web. Empty for any other question.
    """
    members = members_of(request.params) or {}
    if request.method != "elicitation/create" or read_text(members.get("mode")) != "url":
        return ""
    message, url = read_text(members.get("message")) or "", read_text(members.get("url")) or ""
    # A person is told to open it, and `javascript:` or `file:` would run or read on their side.
    safe = url.lower().startswith(("https://", "http://"))
    return f"{message}\n{url}" if safe else message


def response_value(method: str, result: Raw | None) -> Raw | None:
    """What a legacy client's answer becomes in `inputResponses`; `result` is None for an error.

    A failed elicitation is one that was dismissed (client/elicitation, Response Actions). For the
    other questions there is no such value: None, and the request that asked cannot go on.
    """
    # A modern server reads answers as objects: another value would end the call as malformed.
    if result is not None and members_of(result) is not None:
        return result
    return CANCELLED if method == "elicitation/create" else None


def refusal(capabilities: bytes, method: str, era: Era = "legacy") -> Raw:
    """The JSON-RPC error for a server whose question may not be asked of this client.

    For a modern client the one that says which capability is missing, since the server may well
    end its call with it (2026-07-28 basic/index, MissingRequiredClientCapability). For a legacy one
    `-32602` for a mode that was not declared (2025-11-25 client/elicitation, Error Handling) or
    tools in sampling; `-32601` where nothing of the kind was declared.
    """
    kind = method.partition("/")[0]
    if era == "modern" and method in ASKED:
        text = "the client cannot be asked this: it did not declare the capability"
        needed = {"requiredCapabilities": {kind: _missing_capability_part(capabilities, kind)}}
        return Raw(_encode({"code": MISSING_CAPABILITY, "message": text, "data": needed}))
    code, text = METHOD_NOT_FOUND, "Method not found"
    if method in ASKED:
        text = "the client did not declare that it can be asked this"
        code = INVALID_PARAMS if kind in (members_of(Raw(capabilities)) or {}) else code
    return Raw(_encode({"code": code, "message": text}))


def _missing_capability_part(capabilities: bytes, kind: str) -> dict[str, object]:
    """The part that is missing of a capability: of one that was declared, the other one."""
    declared = members_of((members_of(Raw(capabilities)) or {}).get(kind))
    if declared is None:
        return {}
    if kind == "elicitation":
        return {"form" if "url" in declared else "url": {}}
    return {"tools": {}} if kind == "sampling" else {}
