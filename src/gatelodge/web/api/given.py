"""Where a route's parameters come from, said in their types: the path, the query, the gate."""

from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody

from gatelodge.web.api.gate import AdminGate, Caller, Place
from gatelodge.web.api.pages import Limit

Here = NamedDependency[Place]
"""The workspace of the path, with its caller."""
TheGate = NamedDependency[AdminGate]
TheCaller = NamedDependency[Caller]
Named = FromPath[str]
"""A part of the path."""
Asks = FromQuery[str]
"""A word of the query; empty when it was not said."""
Flag = FromQuery[bool]
Limits = FromQuery[Limit]

__all__ = ["Asks", "Flag", "Here", "JSONBody", "Limits", "Named", "TheCaller", "TheGate"]
