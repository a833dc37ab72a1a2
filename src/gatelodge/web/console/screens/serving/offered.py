"""Which forms the pages of servers have for their reader, each where the API would take it."""

from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from gatelodge.core.catalog.server import (
    ArtifactTransport,
    HttpTransport,
    Server,
    StdioTransport,
)
from gatelodge.core.hosting.naming import alias_of_source
from gatelodge.flows.admin.definitions.proposals import description_digest
from gatelodge.flows.admin.servers import server
from gatelodge.web.api.context import WorkspaceContext, bounds_of
from gatelodge.web.console.forms import (
    NOTHING,
    FormField,
    FormOutcome,
    VerbForm,
    forms_of_row,
    home_of,
)
from gatelodge.web.console.rendering import segment
from gatelodge.web.console.screens.serving import fields
from gatelodge.web.console.screens.serving.fields import PartField

ALIAS: Final = FormField(
    name="alias",
    label="Name",
    kind="text",
    says="A lower-case letter and up to 19 letters, digits and hyphens; the first part of each "
    "tool's name, for good.",
    hint="time",
    needed=True,
)
SECRET_PLACES: Final[dict[type, dict[str, str]]] = {
    HttpTransport: {"header": "headers"},
    StdioTransport: {"variable": "env"},
    ArtifactTransport: {"variable": "env", "file": "files"},
}
"""As what a server is given a secret, and the part of its definition where that stands."""


def forms_to_add(place: WorkspaceContext, outcome: FormOutcome) -> list[VerbForm]:
    """The forms that the reader may use to add a server: by its URL, and by what is allowed."""
    if not place.caller.may("server.register"):
        return []
    bounds = bounds_of(place.gate.settings)
    base = f"{home_of(place)}/servers"
    found = [
        _adding(
            ("url", "Add a server by its URL", base),
            "It is described, and nothing is sent to it yet; nobody can use it before it is "
            "approved. A secret is given to it on its own page.",
            (fields.URL, (*fields.MORE_OF_URL, *fields.OF_EVERY)),
            outcome,
        )
    ]
    if bounds.commands:
        found.append(
            _adding(
                ("command", "Add a server by a command", base),
                "Only a command that fits hosting.api_commands is taken. It is started when "
                "somebody looks at its tools, not before.",
                (fields.COMMAND, (*fields.MORE_OF_COMMAND, *fields.OF_EVERY)),
                outcome,
            )
        )
    if bounds.sources:
        found.append(_building(place, outcome))
    return found


def commands_to_add(place: WorkspaceContext) -> list[tuple[str, str]]:
    """What is added on the gate's own machine alone, each with its command."""
    if not place.caller.may("server.register"):
        return []
    bounds = bounds_of(place.gate.settings)
    found = []
    if not bounds.sources:
        found.append(("a package or an image", "gatelodge server add pypi:NAME@VERSION"))
    if not bounds.commands:
        found.append(("a command", "gatelodge server add ALIAS -- CMD ARGS"))
    return found


def form_to_host(job: str, source: str, place: WorkspaceContext, outcome: FormOutcome) -> VerbForm:
    """The form that makes a server of what was built of a source."""
    return _adding(
        ("artifact", "Add it as a server", f"{home_of(place)}/builds/{segment(job)}/add"),
        "It is described with this image, and nothing of it runs yet; nobody can use it before it "
        "is approved. A secret is given to it on its own page.",
        (fields.ARTIFACT, (*fields.MORE_OF_ARTIFACT, *fields.OF_EVERY)),
        outcome,
        alias=alias_of_source(source),
    )


def form_to_move(
    job: str, digests: Mapping[str, str], place: WorkspaceContext, outcome: FormOutcome
) -> VerbForm:
    """The form that gives what was built to a server that has another image of the package.

    `digests` are those of the servers that can be chosen, by alias.
    """
    mine = outcome if outcome.form == "move" else NOTHING
    return VerbForm(
        name="move",
        title="Give it to a server",
        path=f"{home_of(place)}/builds/{segment(job)}/move",
        about="A server of the same package starts from this image from now on; its grants and "
        "pins stay. It waits for its approval again, and no call reaches it until then.",
        fields=(
            FormField(
                name="alias",
                label="Server",
                kind="choice",
                choices=tuple(digests),
                value=mine.typed.get("alias", ""),
            ),
        ),
        shown=_shown(mine, {f"description.{alias}": each for alias, each in digests.items()}),
        tries=True,
        grave=False,
        outcome=mine,
    )


def forms_of_server(place: WorkspaceContext, row: Server, outcome: FormOutcome) -> list[VerbForm]:
    """The forms that the reader may use on one server."""
    found = []
    if place.caller.may("server.register"):
        found.append(_editing(place, row, outcome))
        if place.caller.may("secret.set") and reach_is_ours(place, row):
            found.append(_giving(place, row, outcome))
    if row.status == "approved" and place.caller.may("server.approve"):
        found.append(
            _plain(
                ("restart", "Begin it anew", f"{_base(place, row)}/restart"),
                "What runs of it on this node ends, and it begins anew, also when it is "
                "quarantined.",
                outcome,
            )
        )
    found += forms_of_row(server, place, row.alias, outcome, row.status)
    if row.status != "proposed" and place.caller.may("server.disable"):
        found.append(
            _plain(
                ("kill", "Kill", f"{_base(place, row)}/kill"),
                "Disable it, and kill at once what runs of it, on every node.",
                outcome,
                ends=True,
            )
        )
    return found


def reach_is_ours(place: WorkspaceContext, row: Server) -> bool:
    """True when members may say how this server is reached; else only the local operator may."""
    if isinstance(row.transport, HttpTransport):
        return True
    bounds = bounds_of(place.gate.settings)
    return not bounds.beyond(row.transport, place.workspace.slug)


def parts_of_server(
    place: WorkspaceContext, row: Server
) -> tuple[tuple[PartField, ...], tuple[PartField, ...]]:
    """The parts of a server's definition that members may change: the main ones, and all others."""
    if not reach_is_ours(place, row):
        return fields.OF_EVERY, ()
    if isinstance(row.transport, HttpTransport):
        return fields.URL, (*fields.MORE_OF_URL, *fields.OF_EVERY)
    if isinstance(row.transport, ArtifactTransport):
        return fields.ARTIFACT, (*fields.MORE_OF_ARTIFACT, *fields.OF_EVERY)
    return fields.COMMAND, (*fields.MORE_OF_COMMAND, *fields.OF_EVERY)


def _editing(place: WorkspaceContext, row: Server, outcome: FormOutcome) -> VerbForm:
    mine = outcome if outcome.form == "edit" else NOTHING
    stands = fields.spelled_server(row)
    main, more = parts_of_server(place, row)
    ours = reach_is_ours(place, row)
    reach = "" if ours else " How it is reached is changed on the gate's own machine alone."
    return VerbForm(
        name="edit",
        title="Edit it",
        path=f"{_base(place, row)}/edit",
        about="What is left as it stands here stays; its grants and pins stay too. Changed in "
        "anything but its times, it waits for its approval again, and no call reaches it until "
        f"then.{reach}",
        fields=fields.fields(main, stands, mine.typed, changes=True),
        more=fields.fields(more, stands, mine.typed, changes=True),
        shown=_shown(mine, {"description": description_digest(row)}),
        elsewhere="" if ours else f"gatelodge server edit {row.alias} --help",
        tries=True,
        grave=False,
        outcome=mine,
    )


def _giving(place: WorkspaceContext, row: Server, outcome: FormOutcome) -> VerbForm:
    mine = outcome if outcome.form == "secret" else NOTHING
    ways = tuple(SECRET_PLACES[type(row.transport)])
    named = "Authorization" if ways == ("header",) else "API_TOKEN"

    def text(name: str, label: str, says: str, hint: str) -> FormField:
        value = mine.typed.get(name, "")
        needed = name == "name"
        return FormField(
            name=name, label=label, kind="text", says=says, hint=hint, needed=needed, value=value
        )

    chosen = mine.typed.get("place", ways[0])
    return VerbForm(
        name="secret",
        title="Give it a secret",
        path=f"{_base(place, row)}/secret",
        about="Its value goes into the vault, sealed, and is shown to nobody again; the "
        "definition holds its name alone. The server waits for its approval again.",
        fields=(
            FormField(name="place", label="As a", kind="choice", choices=ways, value=chosen),
            text("name", "Called", "Of the header, variable or file.", named),
            FormField(name="value", label="The secret", kind="secret", needed=True),
            text("before", "Word before it", "Where the server wants one.", "Bearer"),
            text("secret", "Its name in the vault", "Else it is made of both names.", ""),
        ),
        shown=_shown(mine, {"description": description_digest(row)}),
        tries=False,
        grave=False,
        outcome=mine,
    )


def _adding(
    said: tuple[str, str, str],
    about: str,
    parts: tuple[tuple[PartField, ...], tuple[PartField, ...]],
    outcome: FormOutcome,
    *,
    alias: str = "",
) -> VerbForm:
    name, title, path = said
    mine = outcome if outcome.form == name else NOTHING
    return VerbForm(
        name=name,
        title=title,
        path=path,
        about=about,
        fields=(
            replace(ALIAS, value=mine.typed.get("alias", alias)),
            *fields.fields(parts[0], fields.BLANK, mine.typed),
        ),
        more=fields.fields(parts[1], fields.BLANK, mine.typed),
        tries=False,
        grave=False,
        outcome=mine,
    )


def _building(place: WorkspaceContext, outcome: FormOutcome) -> VerbForm:
    mine = outcome if outcome.form == "package" else NOTHING
    taken = ", ".join(bounds_of(place.gate.settings).sources)
    may = place.caller.may("settings.read")
    return VerbForm(
        name="package",
        title="Add a server from a package or an image",
        path=f"{home_of(place)}/builds",
        about="It is fetched and laid out into an image, and nothing of it runs; the next page "
        "shows how far that is, and makes a server of it. Only what fits hosting.api_sources is "
        f"taken{f': {taken}' if may else ''}.",
        fields=(
            FormField(
                name="source",
                label="Package or image",
                kind="line",
                says="pypi:NAME@VERSION, npm:NAME@VERSION, oci:REGISTRY/REPOSITORY:TAG (or "
                "@sha256:DIGEST), url:https://HOST/NAME.mcpb#sha256=HEX, mcpb:FILE of the gate's "
                "own machine.",
                hint="pypi:mcp-server-time@2026.10.19",
                needed=True,
                value=mine.typed.get("source", ""),
            ),
        ),
        more=(
            FormField(
                name="script",
                label="Its program",
                kind="text",
                says="Which of its programs is the server, where it has several.",
                value=mine.typed.get("script", ""),
            ),
            FormField(
                name="programs",
                label="Programs beside it",
                kind="lines",
                says="Of this machine, one a line.",
                hint="git",
                value=mine.typed.get("programs", ""),
            ),
            FormField(
                name="rebuild",
                label="Fetch it again, whatever was built before",
                kind="check",
                value=mine.typed.get("rebuild", ""),
            ),
        ),
        tries=False,
        grave=False,
        outcome=mine,
    )


def _plain(
    said: tuple[str, str, str], about: str, outcome: FormOutcome, *, ends: bool = False
) -> VerbForm:
    """A form of nothing but its buttons."""
    name, title, path = said
    mine = outcome if outcome.form == name else NOTHING
    return VerbForm(
        name=name,
        title=title,
        path=path,
        about=about,
        fields=(),
        tries=ends,
        grave=ends,
        outcome=mine,
    )


def _shown(outcome: FormOutcome, now: Mapping[str, str]) -> dict[str, str]:
    """The digests that a form bears: those under which it was typed, else those of now."""
    # With that of now, what was typed about another definition would be taken for this one.
    return {name: outcome.typed.get(name, digest) for name, digest in now.items()}


def _base(place: WorkspaceContext, row: Server) -> str:
    return f"{home_of(place)}/servers/{segment(row.alias)}"
