"""Pages as bytes: templates, and the fields that every answer of the console bears."""

import math
import re
from functools import cache, partial
from hashlib import sha256
from importlib.resources import files
from typing import Any, Final
from urllib.parse import quote

import rfc8785
from anyio import to_thread
from litestar import Response
from markupsafe import Markup, escape
from msgspec import Struct

from gatelodge.core.people import Workspace
from gatelodge.core.roles import Verb
from gatelodge.flows.identity.revocation import EndedKind, RevocationReceipt, ended_kinds
from gatelodge.web.api.context import AdminCaller, WorkspaceContext
from gatelodge.web.console.face import ROOT

CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""No inline script or style, no other host: what somebody writes into a name stays text."""
_BACKTICKS: Final = re.compile(r"`([^`]+)`")
_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z$")
_INJECTED: Final = {"env": "variable", "file": "file", "header": "header"}
HEADERS: Final = {
    "content-security-policy": CSP,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


class NavigationEntry(Struct, frozen=True):
    """One line of the navigation, for whoever may do one of `acts`."""

    name: str
    path: str
    key: str
    acts: tuple[Verb, ...]


NAVIGATION: Final = (
    NavigationEntry("Overview", "", "o", ("access.own",)),
    NavigationEntry("My access", "access/me", "", ("access.own",)),
    NavigationEntry("My records", "recorded", "", ("access.own",)),
    NavigationEntry("Access", "access", "a", ("access.read",)),
    NavigationEntry("Compare", "diff", "d", ("access.read",)),
    NavigationEntry("Unused", "unused", "u", ("audit.read",)),
    NavigationEntry("Members", "members", "m", ("member.read",)),
    NavigationEntry("Agents", "agents", "", ("agent.read",)),
    NavigationEntry("Groups", "groups", "", ("group.read",)),
    NavigationEntry("Grants", "grants", "", ("grant.read",)),
    NavigationEntry("Guardrails", "guardrails", "r", ("guardrail.read",)),
    NavigationEntry("Tokens", "tokens", "t", ("token.read",)),
    NavigationEntry("Servers", "servers", "s", ("server.read",)),
    NavigationEntry("Cards", "cards", "", ("card.read",)),
    NavigationEntry("Instances", "instances", "i", ("server.read",)),
    NavigationEntry("Secrets", "secrets", "", ("secret.read",)),
    NavigationEntry("Live", "live", "", ("audit.read",)),
    NavigationEntry("Audit", "audit", "l", ("audit.read",)),
    NavigationEntry("Changes", "changes", "c", ("audit.read",)),
    NavigationEntry("Logs", "logs", "", ("audit.read",)),
    NavigationEntry("Settings", "settings", "", ("settings.read",)),
)
"""The pages in the order of the navigation; `g` and the key open one."""


@cache
def _environment() -> Any:
    # Any: the library's types stay in this file.
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from gatelodge.web.console.visible_text import FILTER, VisibleText, shown

    made = Environment(
        loader=PackageLoader("gatelodge.web.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[VisibleText],
    )
    made.globals["static"] = static_path
    made.globals["root"] = ROOT
    made.globals["cell"] = cell
    made.filters["segment"] = segment
    made.filters["tone"] = tone
    made.filters[FILTER] = shown
    made.filters["leaf_text"] = leaf_text
    made.filters["magnitude"] = magnitude
    made.filters["injected"] = injected
    made.filters["ended_with_it"] = _ended_with_it
    made.filters["with_code"] = with_code
    return made


def cell(value: object) -> str:
    """The text of a table's cell, as short as it can be read."""
    if value is None or value in ("", (), []):
        return "—"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(cell, value))
    text = str(value)
    return text[:19].replace("T", " ") if _TIME.match(text) else text


def leaf_text(value: Any) -> str:
    """The value of a leaf's field as text: a string as it is, anything else as the log spells it.

    Any: what JSON holds. The verifier in the page compares this text with the leaf's bytes.
    """
    return value if isinstance(value, str) else rfc8785.dumps(value).decode()


def injected(secret: str) -> str:
    """`NAME:HOW:SOURCE` of a secret in words: as what a server is given it, and where it is."""
    name, how, source = secret.rsplit(":", 2)
    kept = {"vault": "the vault", "env": "the gate's environment", "file": "a file of the gate"}
    return f"{_INJECTED.get(how, how)} {name}, from {kept.get(source, source)}"


def magnitude(ms: int) -> float:
    """A duration as the length of a bar: each power of ten is as much longer, up to ten seconds."""
    return round(math.log10(1 + ms), 2)


def with_code(text: str) -> Markup:
    """What a sentence says, with what stands between backticks shown as what is typed."""
    # Escaped before: a remedy may hold a name that somebody else wrote.
    return Markup(_BACKTICKS.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704


def _ended_with_it(receipt: RevocationReceipt) -> list[EndedKind]:
    return ended_kinds(receipt.cascade, receipt.named)


def tone(outcome: str) -> str:
    """How an outcome looks: good, bad for what was refused, wait for the rest. `live.js` too."""
    if outcome == "ok":
        return "good"
    return "bad" if outcome.startswith("denied") else "wait"


def segment(name: str) -> str:
    """A name as one part of a path: with a slash in it, a browser would walk to somebody else's."""
    return quote(name, safe="")


@cache
def static_path(name: str) -> str:
    """Where a file of the console is served; the path changes with what is in it."""
    return f"{ROOT}/static/{sha256(static_bytes(name)).hexdigest()[:12]}/{name}"


@cache
def static_names() -> frozenset[str]:
    """The files that the console serves."""
    return frozenset(each.name for each in (files("gatelodge.web.console") / "static").iterdir())


@cache
def static_bytes(name: str) -> bytes:
    """A file that the console serves. Raises FileNotFoundError."""
    return (files("gatelodge.web.console") / "static" / name).read_bytes()


def picture(svg: str) -> Markup:
    """A picture of `core/pictures` as a template takes it: whole, as it is."""
    # Made by functions of ours, which escape every word that they are given.
    return Markup(svg)  # noqa: S704


def rendered(template: str, status: int = 200, **told: Any) -> Response[str]:
    """A page made of a template. Any: what templates are told."""
    text = _environment().get_template(template).render(**told)
    return Response(text, status_code=status, media_type="text/html")


def page(template: str, place: WorkspaceContext, path: str, **told: Any) -> Response[str]:
    """A page of a workspace, with the navigation that its reader's role has."""
    return rendered(template, **navigated(place.caller, place.workspace, path), **told)


def navigated(caller: AdminCaller, workspace: Workspace, path: str) -> dict[str, Any]:
    """What the frame of a page is told: where it is, and where its reader may go from it."""
    return {
        "navigation": [each for each in NAVIGATION if any(map(caller.may, each.acts))],
        "home": f"{ROOT}/w/{workspace.slug}",
        "workspace": workspace,
        "role": caller.role,
        "may": caller.may,
        "path": path,
    }


async def page_beside(
    template: str, place: WorkspaceContext, path: str, **told: Any
) -> Response[str]:
    """The same page, made beside the loop in one's turn: for what grows with the house."""
    made = partial(page, template, place, path, **told)
    return await to_thread.run_sync(made, limiter=place.gate.writing)
