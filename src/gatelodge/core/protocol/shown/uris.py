"""URIs as clients see them where several servers stand behind one endpoint.

`scheme:rest` of a server is shown as `alias+scheme:rest`, and `ui://x` as `ui://alias/x`, since the
apps extension fixes that scheme. An alias holds no `+`, so the first one ends it, and no two
servers ever share a shown URI. What is written in text is left alone.
Source: RFC 3986 clause 3.1 (schemes); MCP 2026-07-28 server/resources (Common URI Schemes).
"""

import re
from collections.abc import Container
from typing import Final

from msgspec import Struct

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")
_UI: Final = "ui://"
_WEB: Final = "https://"


class UriPrefix(Struct, frozen=True):
    """What keeps one server's URIs apart: its alias, empty at an endpoint of that server alone.

    `clashing` are the `https` URIs that another server of the endpoint lists too. The others are
    shown as they are, because a client may fetch them without us (server/resources, https://).
    """

    alias: str
    clashing: frozenset[str] = frozenset()


BARE: Final = UriPrefix("")
"""One server's own endpoint: nothing changes."""


def shown_uri(prefix: UriPrefix, uri: str) -> str:
    """The URI, or URI template, that clients see.

    Of a template only the literal head is touched, so what is expanded from the shown template is
    the shown URI of what is expanded from the server's own (RFC 6570). A text without a scheme,
    such as `{+path}`, becomes `alias+:text`.
    """
    alias = prefix.alias
    if not alias:
        return uri
    if _has_scheme(uri, _UI):
        return f"{uri[: len(_UI)]}{alias}/{uri[len(_UI) :]}"
    if _has_scheme(uri, _WEB) and uri not in prefix.clashing:
        return uri
    return f"{alias}+{uri}" if _SCHEME.match(uri) else f"{alias}+:{uri}"


def original_uri(uri: str, aliases: Container[str]) -> tuple[str, str] | None:
    """The alias and the server's own URI behind a shown one; None when none of `aliases` shows it.

    An `https` URI that was shown as it is names no server: None, and the caller's lists tell which
    one has it.
    """
    if _has_scheme(uri, _UI):
        alias, slash, rest = uri[len(_UI) :].partition("/")
        return (alias, uri[: len(_UI)] + rest) if slash and alias in aliases else None
    alias, _, rest = uri.partition("+")
    # Schemes may hold a plus themselves (git+ssh), so what stands before it has to be known.
    if alias not in aliases:
        return None
    if rest.startswith(":"):
        return alias, rest[1:]
    return (alias, rest) if _SCHEME.match(rest) else None


def _has_scheme(uri: str, scheme: str) -> bool:
    return uri[: len(scheme)].lower() == scheme
