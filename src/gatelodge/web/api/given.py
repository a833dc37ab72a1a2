"""Where a route's parameters come from, said in their types: the path, the query, the gate."""

from typing import Annotated

from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from gatelodge.web.api.gate import AdminGate, Caller, Place
from gatelodge.web.api.pages import LONGEST

Here = NamedDependency[Place]
"""The workspace of the path, with its caller."""
TheGate = NamedDependency[AdminGate]
TheCaller = NamedDependency[Caller]
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
]
