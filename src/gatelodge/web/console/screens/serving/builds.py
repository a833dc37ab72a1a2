"""A package on its way to a server: it is built as a job, which its page follows to the end.

What the page makes a server of is what the job answered, whatever a form says. A page that is left
stops nothing, and the build is found again among the servers.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from litestar import Response, get, post

from gatelodge.core.catalog.server import ArtifactTransport, Server
from gatelodge.core.errors import Conflict, NotFound
from gatelodge.core.hosting.source import read_source
from gatelodge.core.instant import parse_rfc3339
from gatelodge.core.people import Member
from gatelodge.flows.admin.definitions.edits import ServerEdit
from gatelodge.flows.admin.definitions.proposals import description_digest
from gatelodge.flows.hosting.artifacts import ArtifactWish, BuiltArtifact
from gatelodge.flows.jobs.kinds import ARTIFACT, name_of_kind
from gatelodge.flows.nouns import lookup
from gatelodge.ports.store import StoreTx
from gatelodge.web.api.context import WorkspaceContext
from gatelodge.web.api.house import jobs
from gatelodge.web.api.house.jobs import JobDetail
from gatelodge.web.api.parameters import Asks, Here, Named
from gatelodge.web.api.rules import artifacts
from gatelodge.web.api.rules import servers as api
from gatelodge.web.api.rules.artifacts import ImageDifference
from gatelodge.web.console.forms import (
    NOTHING,
    Asked,
    FormOutcome,
    SentForm,
    answered,
    answered_with_place,
    done,
    home_of,
    sent_form,
    untold_problem,
)
from gatelodge.web.console.rendering import page, segment
from gatelodge.web.console.screens.serving import fields
from gatelodge.web.console.screens.serving.adding import describe
from gatelodge.web.console.screens.serving.offered import (
    form_to_host,
    form_to_move,
    reach_is_ours,
)
from gatelodge.web.console.screens.serving.servers import servers_page

_PAUSES: Final = ((60, 1), (600, 3), (ARTIFACT.seconds, 10))
"""How old a build may be, and how many seconds its page waits before it looks again."""
_REGISTER: Final = {"act": "server.register"}


@post("/builds", opt=_REGISTER, status_code=200)
async def begin(place: Here, request: Asked) -> Response[Any]:
    """Have a package built, or join the build of the same; its own page follows it."""
    sent = await sent_form(request)

    async def work() -> Response[Any]:
        wish = ArtifactWish(
            source=sent.text("source"),
            script=sent.text("script"),
            programs=tuple(fields.lines(sent.whole("programs"))),
            rebuild=bool(sent.text("rebuild")),
        )
        job = await artifacts.build.fn(place, wish)
        return done(f"{home_of(place)}/builds/{segment(job.id)}", "package")

    return await answered("package", sent, work, lambda told: servers_page(place, told))


@get("/builds/{job:str}", opt=_REGISTER)
async def show(place: Here, job: Named, done: Asks = "") -> Response[Any]:
    """How far a build is, or what it became and what can be made of that."""
    return await _build_page(place, job, NOTHING, done)


@post("/builds/{job:str}/cancel", opt=_REGISTER, status_code=200)
async def cancel(place: Here, job: Named, request: Asked) -> Response[Any]:
    """Cancel a build: nothing of it is kept."""
    sent = await sent_form(request)
    await _found_build(place, job)

    async def work() -> None:
        await jobs.cancel.fn(place.gate, place.caller, job)

    return await _answered(place, job, sent, "cancel", work)


@post("/builds/{job:str}/add", opt=_REGISTER, status_code=200)
async def add(place: Here, job: Named, request: Asked) -> Response[Any]:
    """Describe a server that starts from what was built."""
    sent = await sent_form(request)
    built = _built(await _found_build(place, job))
    alias = sent.text("alias")

    async def work() -> None:
        parts = (*fields.ARTIFACT, *fields.MORE_OF_ARTIFACT, *fields.OF_EVERY)
        said = fields.said_parts(parts, sent, fields.BLANK)
        await describe(place, alias, {**said, **_image_words(built)})

    path = f"{home_of(place)}/servers/{segment(alias)}"
    return await _answered(place, job, sent, "artifact", work, path)


@post("/builds/{job:str}/move", opt=_REGISTER, status_code=200)
async def move(place: Here, job: Named, request: Asked) -> Response[Any]:
    """Give what was built to a server that has another image, or tell who would lose what."""
    sent = await sent_form(request)
    built = _built(await _found_build(place, job))
    alias = sent.text("alias")

    async def work() -> Any:
        digest = fields.shown_digest(sent, f"description.{alias}")
        wish = fields.read_form({**_image_words(built), "description": digest}, ServerEdit)
        return await api.edit.fn(place, alias, wish, dry_run=sent.asks)

    path = f"{home_of(place)}/servers/{segment(alias)}"
    return await _answered(place, job, sent, "move", work, path)


async def _answered(
    place: WorkspaceContext, job: str, sent: SentForm, form: str, work: Any, path: str = ""
) -> Response[Any]:
    async def shows(told: FormOutcome) -> Response[Any]:
        return await _build_page(place, job, told)

    path = path or f"{home_of(place)}/builds/{segment(job)}"
    return await answered_with_place(form, sent, work, path, shows)


async def _build_page(
    place: WorkspaceContext, job: str, outcome: FormOutcome, finished: str = ""
) -> Response[Any]:
    found = await _found_build(place, job)
    names = await place.gate.read(lambda tx: lookup.names(tx, place.id, Member))
    source = ArtifactWish.of_subject(found.kind.partition(" ")[2]).source
    forms, built, differs = [], None, None
    if found.result is not None:
        built = _built(found)
        forms.append(form_to_host(job, built.source, place, outcome))
        others = await place.gate.read(lambda tx: _others(tx, place, built))
        if others:
            forms.append(form_to_move(job, others, place, outcome))
        if outcome.form == "move" and outcome.foreseen:
            differs = await _difference(place, outcome.typed.get("alias", "").strip(), built)
    return page(
        "build.html",
        place,
        "servers",
        job=found,
        source=source,
        by=names.get(found.started_by, found.started_by),
        done="It is cancelled." if finished == "cancel" else "",
        built=built,
        again=_seconds_to_next_look(place, found),
        forms=forms,
        differs=differs,
        problem_above=untold_problem(outcome, forms),
        status=outcome.status,
    )


def _seconds_to_next_look(place: WorkspaceContext, job: JobDetail) -> int:
    """How long the page waits before it looks again; 0 = it does not, for the build is over."""
    if job.ended_at:
        return 0
    age = (place.gate.clock.now() - parse_rfc3339(job.asked_at)) / 1_000_000
    return next((seconds for most, seconds in _PAUSES if age < most), 0)


async def _found_build(place: WorkspaceContext, job: str) -> JobDetail:
    """The build of that id. Raises NotFound, also for a job of another kind."""
    found: JobDetail = await jobs.show.fn(place.gate, place.caller, job)
    if name_of_kind(found.kind) != ARTIFACT.name or found.workspace != place.id:
        raise NotFound(f"there is no build {job!r}", remedy="See the page of servers.")
    return found


def _built(job: JobDetail) -> BuiltArtifact:
    """What a build became. Raises Conflict while there is nothing."""
    if job.result is None:
        raise Conflict(
            f"the build {job.id} is {job.state}", remedy="Wait for its end, or build it anew."
        )
    return msgspec.convert(job.result, BuiltArtifact)


def _image_words(built: BuiltArtifact) -> Mapping[str, Any]:
    return {"source": built.source, "image": built.image, "run_scripts": built.run_scripts}


def _others(tx: StoreTx, place: WorkspaceContext, built: BuiltArtifact) -> dict[str, str]:
    """The digests of the servers of the same package that start from another image, by alias."""
    return {
        row.alias: description_digest(row)
        for row in tx.find(Server, workspace=place.id)
        if isinstance(row.transport, ArtifactTransport)
        and row.transport.image != built.image
        and _package_of(row.transport.source) == _package_of(built.source)
        and reach_is_ours(place, row)
    }


async def _difference(
    place: WorkspaceContext, alias: str, built: BuiltArtifact
) -> ImageDifference | None:
    """What of the packages differs from the image that a server has; None where it is not kept."""

    def look(tx: StoreTx) -> Server:
        return lookup.server(tx, place.id, alias)

    before = (await place.gate.read(look)).transport
    if not isinstance(before, ArtifactTransport):
        return None
    try:
        found: ImageDifference = await artifacts.diff.fn(place, before.image, built.image)
    except NotFound:
        return None
    return found


def _package_of(source: str) -> tuple[str, str]:
    found = read_source(source)
    return found.kind, found.name


ROUTES = (begin, show, cancel, add, move)
