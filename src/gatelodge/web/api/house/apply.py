"""A workspace made equal to its file, or what that would change."""

from litestar import post
from msgspec import Struct

from gatelodge.core.policy.guardrails import validate
from gatelodge.flows.act import Act
from gatelodge.flows.admin import apply as flow
from gatelodge.flows.admin.declared import wanted
from gatelodge.flows.admin.declared.changes import Change
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
    file, gate = wanted.parse(data.text), place.gate

    def work(act: Act) -> tuple[Change, ...]:
        return flow.apply(act, place.id, file, validate, prune=data.prune)

    if dry_run:
        now = gate.clock.now()
        changes = await gate.read(
            lambda tx: flow.planned(tx, place.id, file, now, prune=data.prune)
        )
    else:
        changes = await gate.change(place.caller, work)
    return Applied(dry_run=dry_run, lines=tuple(map(str, changes)), changes=changes)


ROUTES = (apply,)
