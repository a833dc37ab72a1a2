"""What each error looks like outside: HTTP status, JSON-RPC code and exit code, in one table.

The web faces render errors as problem documents (RFC 9457), the MCP endpoint as JSON-RPC errors,
the command line as an exit code; all three read `ANSWERS`. An unknown exception is logged under an
incident id, without its message (it may hold a payload), and answered with that id only.
"""

import logging
from http import HTTPStatus
from typing import Any

import msgspec
from msgspec import Struct

from gatelodge.core import errors
from gatelodge.core.errors import HouseError

MEDIA_TYPE = "application/problem+json"
INTERNAL_CODE = "error.internal"

_log = logging.getLogger("gatelodge.web")


LONGEST_DETAIL = 4096


class ProblemAnswer(Struct, frozen=True):
    """How one kind of error is told: HTTP status, JSON-RPC error code, exit code of a command."""

    status: int
    rpc: int
    exit: int


ANSWERS: dict[type[HouseError], ProblemAnswer] = {
    errors.Unauthenticated: ProblemAnswer(401, -31401, 3),
    errors.Forbidden: ProblemAnswer(403, -31403, 3),
    errors.NotFound: ProblemAnswer(404, -31404, 3),
    errors.Invalid: ProblemAnswer(400, -32602, 2),
    errors.Conflict: ProblemAnswer(409, -31409, 3),
    errors.LimitReached: ProblemAnswer(429, -31429, 3),
    errors.UpstreamUnreachable: ProblemAnswer(502, -31502, 4),
    errors.LaunchRefused: ProblemAnswer(502, -31518, 4),
    errors.OwnSecretMissing: ProblemAnswer(502, -31517, 4),
    errors.UpstreamTimeout: ProblemAnswer(504, -31504, 4),
    errors.UpstreamBrokeProtocol: ProblemAnswer(502, -31510, 4),
    errors.StoreDown: ProblemAnswer(503, -31503, 4),
    errors.LedgerDown: ProblemAnswer(503, -31511, 4),
    errors.Stale: ProblemAnswer(503, -31512, 4),
    errors.KeyUnreachable: ProblemAnswer(503, -31513, 4),
    errors.GateUnreachable: ProblemAnswer(503, -31514, 4),
    errors.NotYet: ProblemAnswer(503, -31515, 4),
    errors.OutsideFailed: ProblemAnswer(502, -31516, 4),
    errors.LogForked: ProblemAnswer(500, -31520, 5),
    errors.KeyMismatch: ProblemAnswer(500, -31521, 5),
    errors.JobBroken: ProblemAnswer(500, -31523, 5),
    errors.SettingsError: ProblemAnswer(500, -31522, 2),
}
"""Every leaf of the error tree. Own JSON-RPC codes stay outside the reserved -32768..-32000."""

INTERNAL = ProblemAnswer(500, -32603, 70)
"""What an exception that nobody expected is answered with (JSON-RPC: internal error)."""


class ProblemDocument(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A problem document (RFC 9457); `type` is absent and so means about:blank."""

    status: int
    title: str
    code: str
    detail: str
    remedy: str = ""
    retry_after: float | None = None
    incident: str = ""
    faults: tuple[str, ...] = ()
    said: tuple[str, ...] = ()


def answer(error: HouseError) -> ProblemAnswer:
    """The row of this error's class, or of the nearest parent that stands in the table."""
    for kind in type(error).__mro__:
        row = ANSWERS.get(kind)
        if row is not None:
            return row
    return INTERNAL


def problem(error: HouseError) -> ProblemDocument:
    """The error as a problem document."""
    status = answer(error).status
    return ProblemDocument(
        status=status,
        title=HTTPStatus(status).phrase,
        code=error.code,
        detail=_shortened_detail(error.detail),
        remedy=error.remedy,
        retry_after=error.retry_after,
        faults=getattr(error, "faults", ()),
        said=error.said,
    )


def _shortened_detail(detail: str) -> str:
    """What was asked for may stand in it, as long as whoever asked wanted."""
    return detail if len(detail) <= LONGEST_DETAIL else f"{detail[:LONGEST_DETAIL]}..."


def unexpected(error: BaseException, incident: str) -> ProblemDocument:
    """Log an unknown exception by type and place only, and answer with the incident's id."""
    _log.error("incident %s: %s at %s", incident, type(error).__qualname__, place(error))
    return ProblemDocument(
        status=INTERNAL.status,
        title=HTTPStatus(INTERNAL.status).phrase,
        code=INTERNAL_CODE,
        detail=f"Something failed here that should not; it is written down as {incident}.",
        remedy="Tell an operator the incident id; the log line under it names the place.",
        incident=incident,
    )


def place(error: BaseException) -> str:
    """Where an exception came from, innermost frame first: `file:line` names, never values."""
    frames: list[str] = []
    at = error.__traceback__
    while at is not None:
        frames.append(f"{at.tb_frame.f_globals.get('__name__', '?')}:{at.tb_lineno}")
        at = at.tb_next
    return " < ".join(reversed(frames[-6:])) or "?"


def body(told: ProblemDocument) -> bytes:
    """The bytes of a problem document."""
    return msgspec.json.encode(told)


def headers(told: ProblemDocument) -> list[tuple[str, str]]:
    """The headers that go with a problem document."""
    fields = [("content-type", MEDIA_TYPE), ("cache-control", "no-store")]
    if told.retry_after is not None:
        fields.append(("retry-after", str(max(1, round(told.retry_after)))))
    if told.status == HTTPStatus.UNAUTHORIZED:
        fields.append(("www-authenticate", "Bearer"))
    return fields


def error_of(document: dict[str, Any]) -> HouseError:
    """The error that a problem document tells of: the class whose code is the longest match.

    A client of the admin API gets back what was raised there. Unknown codes become the nearest
    parent, so that an older command line understands a newer gate.
    """
    code = str(document.get("code", ""))
    kind = _by_code(code)
    detail = str(document.get("detail") or document.get("title") or "The gate gave no reason.")
    if issubclass(kind, errors.SettingsError):
        return kind(tuple(document.get("faults") or [detail]))
    retry_after = document.get("retry_after")
    told = kind(detail, remedy=str(document.get("remedy", "")), retry_after=retry_after)
    told.said = tuple(map(str, document.get("said") or ()))
    return told


def _by_code(code: str) -> type[HouseError]:
    best: type[HouseError] = HouseError
    waiting: list[type[HouseError]] = [HouseError]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        fits = code == kind.code or code.startswith(kind.code + ".")
        if fits and len(kind.code) > len(best.code):
            best = kind
    return best


def leaves(kind: type[HouseError] = HouseError) -> set[type[HouseError]]:
    """The classes at the ends of the error tree: those that are raised."""
    below = kind.__subclasses__()
    return {kind} if not below else set().union(*map(leaves, below))
