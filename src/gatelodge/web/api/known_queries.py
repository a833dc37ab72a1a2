"""What each route may be asked in its query; anything else is refused, on every route.

A filter that is spelled wrongly and passed over would answer a larger question than was asked.
"""

from difflib import get_close_matches
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from gatelodge.core.errors import Invalid

if TYPE_CHECKING:
    from litestar import Litestar

_MOST = 64


class KnownQueries:
    """The names of each route's query parameters, as the framework binds them; learned once."""

    def __init__(self) -> None:
        self._names: dict[int, frozenset[str]] = {}

    def learn(self, app: "Litestar") -> None:
        """Take the names from every route of the app."""
        from litestar.routes import HTTPRoute

        for route in app.routes:
            if not isinstance(route, HTTPRoute):
                continue
            for handler, model in route.route_handler_map.values():
                names = frozenset(each.field_alias for each in model.expected_query_params)
                known = self._names.get(id(handler), frozenset())
                self._names[id(handler)] = known | names

    def check(self, handler: object, query: bytes) -> None:
        """Raise Invalid for a parameter that the route does not know, or that comes twice."""
        if not query:
            return
        known = self._names.get(id(handler), frozenset())
        try:
            # The bound holds while it is taken apart: afterwards a long query has cost its memory.
            asked = [
                name
                for name, _ in parse_qsl(
                    query.decode("ascii", "replace"), keep_blank_values=True, max_num_fields=_MOST
                )
            ]
        except ValueError:
            raise Invalid(f"the query has more than {_MOST} parameters") from None
        for at, name in enumerate(asked):
            if name not in known:
                raise Invalid(_unknown_name_message(name, known), remedy=_known_names_remedy(known))
            # Of two values a proxy in front may have judged the one that is not used here.
            if name in asked[:at]:
                raise Invalid(f"query: {name} stands there twice")


def _unknown_name_message(name: str, known: frozenset[str]) -> str:
    near = get_close_matches(name, sorted(known), 1)
    meant = f"; did you mean {near[0]}?" if near else ""
    # The name comes back in a message: control characters would steer the reader's terminal.
    shown = "".join(each if each.isprintable() else " " for each in name[:64])
    return f"query: {shown!r} is not known here{meant}"


def _known_names_remedy(known: frozenset[str]) -> str:
    return f"Known here: {', '.join(sorted(known))}." if known else "This route takes none."
