"""Proofs as the browser gets them: files of calls and changes, and that a log only grew."""

from typing import Any

import msgspec
from litestar import Response, get
from litestar.params import FromQuery
from msgspec import Struct

from gatelodge.core.records.origin import GOV, kind_of
from gatelodge.core.records.verify import format_proof
from gatelodge.web.api.context import WorkspaceContext
from gatelodge.web.api.parameters import Asks, FromIndex, Here, Named, Shard
from gatelodge.web.api.record import audit, changes, growth
from gatelodge.web.console.face import ROOT
from gatelodge.web.console.rendering import segment

_EXPORT = {"act": "audit.export"}


class ProofPanel(Struct, frozen=True, kw_only=True):
    """What a page tells its verifier: where the proof is, of what it has to be, by which key."""

    url: str
    name: str
    consistency: str
    key: str
    log: str
    pair: str
    command: str


def proof_panel(place: WorkspaceContext, log: str, what: str, shard: int) -> ProofPanel:
    """The panel of a call, or of a change by its index."""
    key, home = place.gate.vkey, f"{ROOT}/w/{place.workspace.slug}"
    of_gov = kind_of(log) == GOV
    part = f"changes/{what}" if of_gov else f"audit/calls/{segment(what)}"
    later = f" --shard {shard}" if shard else ""
    command = f"gatelodge audit {'changes prove' if of_gov else 'prove'} {what}{later}"
    return ProofPanel(
        url=f"{home}/{part}/proof?shard={shard}",
        name=f"{what}.proof.json",
        consistency=f"{home}/audit/consistency?shard={shard}&log={GOV if of_gov else 'calls'}",
        key=key,
        log=log,
        pair="" if of_gov else what,
        command=command,
    )


@get("/audit/calls/{call:str}/proof", opt=_EXPORT)
async def of_call(place: Here, call: Named, shard: Shard = 0) -> Response[bytes]:
    """The proof file of a call; it names nobody."""
    return _as_json(format_proof(await audit.prove.fn(place, call, shard)))


@get("/changes/{index:int}/proof", opt=_EXPORT)
async def of_change(place: Here, index: FromIndex, shard: Shard = 0) -> Response[bytes]:
    """The proof file of a change."""
    return _as_json(format_proof(await changes.change_proof.fn(place, index, shard)))


@get("/audit/consistency", opt=_EXPORT)
async def grown(
    place: Here, old: FromQuery[int], new: FromQuery[int], log: Asks = "calls", shard: Shard = 0
) -> Response[bytes]:
    """Show that a log only grew since it was seen last."""
    return _as_json(msgspec.json.encode(await growth.consistency.fn(place, old, new, log, shard)))


def _as_json(body: bytes) -> Response[Any]:
    return Response(body, media_type="application/json")


ROUTES = (of_call, of_change, grown)
