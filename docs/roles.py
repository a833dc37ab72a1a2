"""The table of roles and routes: each of the admin API and of the console, and who may ask it.

A test reads the page that is made of it (`docs/reference/roles.md`), and asks each as each role.
"""

from collections.abc import Iterable, Iterator
from typing import get_args

from litestar.handlers import HTTPRouteHandler

from gatelodge.core.people import Role
from gatelodge.core.roles import may
from gatelodge.web.api import routes as api
from gatelodge.web.api.authentication import LOCAL_ONLY, OPEN
from gatelodge.web.console import routes as console
from gatelodge.web.console import session

ROLES: tuple[str, ...] = get_args(Role)
TEXT = """# Roles and routes

Who may ask what: each route of the admin API and of the console, with the acts that open it. A dot
stands for a refusal: 403 to a role, 401 without a good token or session. What a role may do to whom
is decided behind that (nobody gives a role beyond their own; `.own` is about oneself and one's own
agents alone). The local operator may ask the whole API; a route that says `local` is theirs alone,
and one that says `open` is anybody's.
"""
HEAD = ("route", "acts", *ROLES)


def routes() -> Iterator[tuple[str, HTTPRouteHandler]]:
    """Each route with what stands before its path."""
    parts: tuple[tuple[str, Iterable[HTTPRouteHandler]], ...] = (
        ("/api/v1/workspaces/{workspace}", api.IN_WORKSPACE),
        ("/api/v1", api.OF_HOUSE),
        ("/console/w/{workspace}", console.SCREENS),
        ("/console", (console.home, console.static, *session.ROUTES)),
    )
    for before, handlers in parts:
        for handler in handlers:
            yield before, handler


def lines() -> list[str]:
    """The page, line by line."""
    told = [TEXT, _row(HEAD), _row("---" for _ in HEAD)]
    for before, handler in routes():
        given = handler.opt.get("act", LOCAL_ONLY)
        acts = (given,) if isinstance(given, str) else tuple(given)
        marks = [
            "yes" if OPEN in acts or any(may(role, a) for a in acts) else "·" for role in ROLES
        ]
        for path in sorted(handler.paths):
            whole = before + ("" if path == "/" and before != "/console" else path)
            shown = whole.replace(":str}", "}").replace(":int}", "}")
            told += [
                _row((f"`{method} {shown}`", ", ".join(acts), *marks))
                for method in sorted(handler.http_methods)
            ]
    return told


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
