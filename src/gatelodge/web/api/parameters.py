"""Where a route's parameters come from, said in their types: the path, the query, the gate."""

from collections.abc import Mapping
from inspect import Parameter, Signature
from typing import Annotated, Any, get_type_hints
from urllib.parse import unquote

from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from msgspec import Struct
from msgspec.structs import fields

from gatelodge.core.errors import Invalid
from gatelodge.web.api.context import AdminCaller, AdminContext, WorkspaceContext
from gatelodge.web.api.pages import LONGEST

Here = NamedDependency[WorkspaceContext]
"""The workspace of the path, with its caller."""
TheGate = NamedDependency[AdminContext]
TheCaller = NamedDependency[AdminCaller]
Named = FromPath[str]
"""A part of the path."""
FromIndex = FromPath[int]
"""A place in a log, in the path."""
Asks = FromQuery[str]
"""A word of the query; empty when it was not said."""
Flag = FromQuery[bool]
Shard = Annotated[
    int, QueryParameter(ge=0, description="An earlier shard, from before a restore; 0 = present.")
]
Limits = Annotated[
    int, QueryParameter(ge=1, le=LONGEST, description="How many items one page holds.")
]

_BODY = "data"
"""What the framework calls a body: the name of the parameter that takes it."""


def from_query(kind: type[Struct]) -> Provide:
    """All fields of a struct from the query, as one parameter of a route."""

    async def asked(**given: Any) -> Struct:
        return kind(**given)

    hints = get_type_hints(kind, include_extras=True)
    takes = [
        Parameter(
            each.name, Parameter.KEYWORD_ONLY, default=each.default, annotation=hints[each.name]
        )
        for each in fields(kind)
    ]
    asked.__annotations__ = hints | {"return": kind}
    asked.__signature__ = Signature(takes, return_annotation=kind)  # type: ignore[attr-defined]
    return Provide(asked)


def path_values(found: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a path as they were meant: names may hold what divides a path."""
    return {key: unquote(text) if isinstance(text, str) else text for key, text in found.items()}


def malformed(found: list[dict[str, str]], *, bodiless: bool) -> Invalid:
    """What was wrong with a request, by the places that the framework found; no value is told."""
    if bodiless and any(each.get("key") == _BODY for each in found):
        return Invalid(
            "the body is missing: this route takes a JSON object",
            remedy="Send one with Content-Type: application/json; {} where nothing is to be said.",
        )
    places = [f"{_place_of_fault(each)}: {each.get('message', '')}" for each in found]
    return Invalid("; ".join(places) or "it is malformed")


def _place_of_fault(found: dict[str, str]) -> str:
    key = found.get("key", "")
    return "body" if key in ("", _BODY) else key


__all__ = [
    "Asks",
    "Flag",
    "FromIndex",
    "Here",
    "JSONBody",
    "Limits",
    "Named",
    "Shard",
    "TheCaller",
    "TheGate",
    "from_query",
    "malformed",
    "path_values",
]
