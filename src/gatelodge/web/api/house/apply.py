"""A workspace made equal to its file, or what that would change."""

from anyio import to_thread
from litestar import post
from msgspec import Struct

from gatelodge.core.policy.guardrails import validate
from gatelodge.flows.act import Act
from gatelodge.flows.admin import apply as flow
from gatelodge.flows.admin.declared.changes import Change
from gatelodge.flows.admin.declared.reading import parse
from gatelodge.web.api.given import Flag, Here, JSONBody


class File(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The text of the file (TOML). `prune` = grants, group places, guardrails beside it end."""

    text: str
    prune: bool = False


class Applied(Struct, frozen=True, kw_only=True):
    """What was changed, or would be: one line each, and the same for machines."""

    dry_run: bool
    lines: tuple[str, ...]
    changes: tuple[Change, ...]


@post("/apply", opt={"act": "apply"}, status_code=200)
async def apply(place: Here, data: JSONBody[File], *, dry_run: Flag = False) -> Applied:
    """Make the workspace equal to the file, in one transaction; or only say what differs."""
    # Plain Python over a large text: beside the loop, which carries everybody's calls.
    file, gate = await to_thread.run_sync(parse, data.text), place.gate
    changes: tuple[Change, ...] = ()

    def work(act: Act) -> None:
        nonlocal changes
        changes = flow.apply(act, place.id, file, validate, prune=data.prune)

    if dry_run:
        # Done and rolled back: what would be refused is refused here already.
        await gate.rehearse(place.caller, work, "")
    else:
        await gate.change(place.caller, work)
    return Applied(dry_run=dry_run, lines=tuple(map(str, changes)), changes=changes)


ROUTES = (apply,)
