"""A workspace made equal to its file, or what that would change."""

from anyio import to_thread
from litestar import get, post
from msgspec import Struct

from gatelodge.flows.act import GovernanceAct
from gatelodge.flows.admin import apply as flow
from gatelodge.flows.admin.declared.export import exported
from gatelodge.flows.admin.declared.reading import parse
from gatelodge.flows.admin.declared.servers import ServerTable
from gatelodge.flows.nouns.file_table import NounChange, WorkspaceFile, WorkspaceRows
from gatelodge.ports.store import StoreTx
from gatelodge.web.api.context import WorkspaceContext
from gatelodge.web.api.parameters import Flag, Here, JSONBody


class ApplyFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The text of the file (TOML). `prune` = grants, group places, guardrails beside it end."""

    text: str
    prune: bool = False


class ApplyResult(Struct, frozen=True, kw_only=True):
    """What was changed, or would be: one line each, and the same for machines.

    `lacks` is what the file names and this gate does not have, with what to do about each.
    """

    dry_run: bool
    lines: tuple[str, ...]
    lacks: tuple[str, ...]
    changes: tuple[NounChange, ...]


@post("/apply", opt={"act": "apply"}, status_code=200)
async def apply(place: Here, data: JSONBody[ApplyFile], *, dry_run: Flag = False) -> ApplyResult:
    """Make the workspace equal to the file, in one transaction; or only say what differs."""
    # Plain Python over a large text: beside the loop, which carries everybody's calls.
    file, gate = await to_thread.run_sync(parse, data.text), place.gate
    changes: tuple[NounChange, ...] = ()

    def work(act: GovernanceAct) -> None:
        nonlocal changes
        changes = flow.apply(act, place.id, file, prune=data.prune)

    if dry_run:
        # Done and rolled back: what would be refused is refused here already.
        await gate.rehearse(place.caller, work, "")
    else:
        await gate.change(place.caller, work)
    lines = tuple(map(str, changes))
    # What a change is given may hold values of headers and variables, also of a trial.
    lacks = await _missing_images(place, file)
    return ApplyResult(dry_run=dry_run, lines=lines, lacks=lacks, changes=flow.redacted(changes))


async def _missing_images(place: WorkspaceContext, file: WorkspaceFile) -> tuple[str, ...]:
    """Images are in no file: a workspace that moves to another gate has them built there."""
    servers = [each for each in ServerTable().entries_of(file) if each.image]
    kept = {each.image for each in await place.gate.images.images()} if servers else set()
    return tuple(
        f"server {each.alias}: the image {each.image[:19]} of {each.source} is not here, so it "
        f"does not start; have it built: gatelodge server upgrade {each.alias}"
        for each in servers
        if each.image not in kept
    )


@get("/export", opt={"act": "workspace.read"})
async def export(place: Here) -> ApplyFile:
    """Write the workspace as the file that `apply` reads; values that may be secret are stars."""
    now, slug = place.gate.clock.now(), place.workspace.slug

    def look(tx: StoreTx) -> WorkspaceRows:
        return flow.present(tx, place.id, now)

    # The snapshot is let go of before the file is written from it, which takes longer.
    present = await place.gate.read(look)
    return ApplyFile(text=await to_thread.run_sync(exported, present, slug))


ROUTES = (apply, export)
