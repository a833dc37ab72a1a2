"""What an admin says of what a server offers: approved, blocked, reviewed.

Each of it is said of a digest, of what was shown: a definition that changed meanwhile is another
one, and whoever looked at the first has said nothing of it.
"""

from collections.abc import Mapping
from hashlib import sha256

from msgspec import Struct
from msgspec.structs import replace

from gatelodge.core.catalog.compare import changed_places
from gatelodge.core.catalog.pin import digests
from gatelodge.core.catalog.server import Server, Tool
from gatelodge.core.errors import Conflict, Invalid, NotFound
from gatelodge.core.ids import ServerId, WorkspaceId
from gatelodge.flows.act import GovernanceAct

LONGEST_INSTRUCTIONS = 64 * 1024
"""Bytes of a server's instructions that are kept; of longer ones, none."""


class ReviewedAnnotations(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an admin found a tool to be; the server's own hints count nothing."""

    read_only: bool
    destructive: bool
    open_world: bool


def approve(
    act: GovernanceAct, workspace: WorkspaceId, server: ServerId, shown: Mapping[str, str]
) -> list[Tool]:
    """Pin the definitions that were shown, by name and digest; returns the tools whose pin is new.

    Raises NotFound, Conflict (a definition is not the one shown, or a tool is blocked); then
    nothing is pinned.
    """
    act.the(Server, workspace=workspace, id=server)
    here = act.tx.find(Tool, workspace=workspace, server=server)
    # A tool that is away shows no definition which an admin could have looked at.
    rows = {tool.name: tool for tool in here if tool.present}
    for name in shown:
        if name not in rows:
            text = f"this server has no tool {name!r} now"
            raise NotFound(text, remedy="See `gatelodge tool list`.")
    changed = [name for name, digest in shown.items() if rows[name].observed != digest]
    if changed:
        raise Conflict(
            "not what was shown any more: "
            + "; ".join(_drift_summary(rows[name]) for name in changed),
            remedy="See `gatelodge tool diff`, then approve what it shows.",
        )
    # A block is a word of its own, which no approval takes back in passing (decision 0018).
    blocked = [name for name in shown if rows[name].blocked]
    if blocked:
        raise Conflict(
            f"the tool {blocked[0]!r} is blocked",
            remedy="Lift the block first: gatelodge tool unblock.",
        )
    return [
        _pin_definition(act, rows[name])
        for name in shown
        # By the whole digest, not that of the use: new looks reach clients once they are approved.
        if rows[name].approved != rows[name].observed
    ]


def block(act: GovernanceAct, workspace: WorkspaceId, server: ServerId, name: str) -> Tool:
    """Nobody can use the tool until the block is lifted, whatever is approved. Raises NotFound."""
    tool = act.the(Tool, name=name, workspace=workspace, server=server)
    if tool.blocked:
        return tool
    blocked = replace(tool, blocked=True)
    act.tx.put(blocked)
    act.record("tool.blocked", workspace, server=server, tool=name)
    return blocked


def unblock(act: GovernanceAct, workspace: WorkspaceId, server: ServerId, name: str) -> Tool:
    """Lift the block; what was approved before it holds again, unless it changed.

    Raises NotFound.
    """
    tool = act.the(Tool, name=name, workspace=workspace, server=server)
    if not tool.blocked:
        return tool
    lifted = replace(tool, blocked=False)
    act.tx.put(lifted)
    act.record("tool.unblocked", workspace, server=server, tool=name)
    return lifted


def review(
    act: GovernanceAct,
    workspace: WorkspaceId,
    server: ServerId,
    name: str,
    found: ReviewedAnnotations,
    *,
    shown: str,
) -> Tool:
    """Write down what a tool was found to be; `shown` is the digest of what was looked at.

    Raises NotFound, Invalid (contradicts itself), Conflict (the definition is not the one shown).
    """
    if found.read_only and found.destructive:
        raise Invalid("a tool that only reads is not destructive")
    tool = act.the(Tool, name=name, workspace=workspace, server=server)
    # A server can change a tool while an admin reads it: the finding is about what was read.
    if shown != tool.observed:
        raise Conflict(
            f"not what was shown any more: {_drift_summary(tool)}",
            remedy="Look at it again: gatelodge tool show.",
        )
    reviewed = replace(
        tool,
        read_only=found.read_only,
        destructive=found.destructive,
        open_world=found.open_world,
        reviewed=True,
        # The review goes with the use: other icons must not undo it (decision 0018).
        reviewed_use=tool.observed_use,
    )
    if reviewed == tool:
        return tool
    act.tx.put(reviewed)
    act.record(
        "tool.reviewed",
        workspace,
        server=server,
        tool=name,
        def_sha256=tool.observed,
        read_only=found.read_only,
        destructive=found.destructive,
        open_world=found.open_world,
    )
    return reviewed


def note_instructions(
    act: GovernanceAct, workspace: WorkspaceId, server: ServerId, text: str
) -> bool:
    """Keep what a server tells every session; nobody hears it before it is approved.

    True when it is not what it was. Raises NotFound.
    """
    row = act.the(Server, workspace=workspace, id=server)
    text = kept_instructions(text)
    if text == row.instructions:
        return False
    # Kept before anybody approved it: an admin has to see what sessions would be told.
    act.tx.put(replace(row, instructions=text))
    act.record("instructions.observed", workspace, server=server, sha256=instructions_digest(text))
    return True


def approve_instructions(
    act: GovernanceAct, workspace: WorkspaceId, server: ServerId, digest: str
) -> bool:
    """Let sessions hear the instructions that were shown; true when that is new.

    Raises NotFound, Conflict (they are not the ones shown).
    """
    row = act.the(Server, workspace=workspace, id=server)
    # They go unasked into every session of a model, so they are pinned as tools are.
    if digest != instructions_digest(row.instructions):
        raise Conflict(
            "not what was shown any more: the instructions of this server",
            remedy="See `gatelodge tool diff`, then approve what it shows.",
        )
    if row.approved_instructions == row.instructions:
        return False
    act.tx.put(replace(row, approved_instructions=row.instructions))
    act.record("instructions.approved", workspace, server=server, sha256=digest)
    return True


def instructions_digest(text: str) -> str:
    """Hex SHA-256 of instructions in UTF-8; empty for none."""
    return sha256(text.encode()).hexdigest() if text else ""


def kept_instructions(text: str) -> str:
    """The text as it can be kept and shown: in Unicode, of no more than 64 KiB, or none."""
    # PostgreSQL keeps no NUL in a text, and UTF-8 no half of a surrogate pair.
    whole = text.strip().replace("\0", "").encode("utf-8", "replace")
    return whole.decode() if len(whole) <= LONGEST_INSTRUCTIONS else ""


def _pin_definition(act: GovernanceAct, tool: Tool) -> Tool:
    pinned = replace(
        tool,
        approved=tool.observed,
        # A row of an earlier release has no digest of use before its next look, and approval may
        # come first.
        approved_use=tool.observed_use or digests(tool.definition).use,
        approved_definition=tool.definition,
        observed_use=tool.observed_use or digests(tool.definition).use,
    )
    act.tx.put(pinned)
    act.record(
        "tool.approved",
        tool.workspace,
        server=tool.server,
        tool=tool.name,
        def_sha256=pinned.approved,
    )
    return pinned


def _drift_summary(tool: Tool) -> str:
    """What of a tool differs from what was approved, in a few places."""
    # Not a whole comparison: this is said within a transaction, of as many tools as changed.
    places = changed_places(tool.approved_definition, tool.definition, 4)
    if not tool.approved_definition or not places:
        return repr(tool.name)
    more = ", ..." if len(places) > 3 else ""
    return f"{tool.name!r} (against what is approved: {', '.join(places[:3])}{more})"
