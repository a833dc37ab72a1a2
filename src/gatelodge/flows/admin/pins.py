"""What an admin says of what a server offers: approved, blocked, reviewed.

Each of it is said of a digest, of what was shown: a definition that changed meanwhile is another
one, and whoever looked at the first has said nothing of it.
"""

from collections.abc import Sequence
from hashlib import sha256

from msgspec import Struct
from msgspec.structs import replace

from gatelodge.core.catalog.compare import TextChange, changed_places, compare_texts
from gatelodge.core.catalog.pin import digests
from gatelodge.core.catalog.server import Server, Tool
from gatelodge.core.errors import Conflict, Invalid, NotFound
from gatelodge.core.ids import ServerId, WorkspaceId
from gatelodge.flows.act import GovernanceAct
from gatelodge.flows.admin.definitions.shapes import ToolDetail, ToolShape, tool_detail, tool_shape
from gatelodge.flows.admin.definitions.standing import instructions_standing
from gatelodge.flows.admin.servers import server
from gatelodge.flows.identity.ending import EndedAccess
from gatelodge.flows.nouns import lookup
from gatelodge.flows.nouns.noun import Noun, ShowContext
from gatelodge.ports.store import StoreTx

LONGEST_INSTRUCTIONS = 64 * 1024
"""Bytes of a server's instructions that are kept; of longer ones, none."""

tool = Noun(
    Tool,
    plural="tools",
    below=server,
    find=lookup.tool,
    called="TOOL",
    about="The tools of servers: show, approve, block, review.",
    columns=(
        "server",
        "name",
        "shown",
        "standing",
        "reviewed",
        "read_only",
        "destructive",
        "open_world",
        "hints",
        "unfit",
    ),
    empty="No tools yet. They come with a server: gatelodge server add ...",
    empty_below="No tools yet. Read what it has: gatelodge server observe {}",
    listing="""List tools with their standing: pinned, changed, new, blocked, gone.

    HINTS are the server's own words and count nothing; UNFIT says why some clients do not see it.
    """,
)


class ToolFinding(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an admin found the definition of this digest to do; what is not said stays as it was."""

    digest: str
    read_only: bool | None = None
    destructive: bool | None = None
    open_world: bool | None = None


class PinnedTools(Struct, frozen=True):
    """The tools whose pin is new."""

    approved: tuple[str, ...]


class InstructionsState(Struct, frozen=True, kw_only=True):
    """What a server tells every session. `standing`: none, approved, changed, new.

    Sessions hear `approved`, and nothing while `text` is empty.
    """

    standing: str
    digest: str
    text: str
    approved: str
    differences: TextChange


@tool.shown
def shapes(tx: StoreTx, rows: Sequence[Tool], context: ShowContext) -> list[ToolShape]:
    """Tools in their server's order, also those that are gone."""
    aliases = lookup.names(tx, rows[0].workspace, Server)
    return [tool_shape(row, aliases[row.server], context.name_length) for row in rows]


@tool.detail
def whole(tx: StoreTx, row: Tool, context: ShowContext) -> ToolDetail:
    """A tool whole: its last definition, the approved one, and what differs."""
    (above,) = tx.find(Server, workspace=row.workspace, id=row.server)
    return tool_detail(row, above.alias, context.name_length)


@tool.verb()
def approve(act: GovernanceAct, server: Server, tools: dict[str, str]) -> PinnedTools:
    """Pin the definitions that were shown; 409 when one of them has changed since.

    Raises NotFound, Conflict (a definition is not the one shown, or a tool is blocked); then
    nothing is pinned.
    """
    here = act.tx.find(Tool, workspace=server.workspace, server=server.id)
    # A tool that is away shows no definition which an admin could have looked at.
    rows = {row.name: row for row in here if row.present}
    for name in tools:
        if name not in rows:
            text = f"this server has no tool {name!r} now"
            raise NotFound(text, remedy="See `gatelodge tool list`.")
    changed = [name for name, digest in tools.items() if rows[name].observed != digest]
    if changed:
        raise Conflict(
            "not what was shown any more: "
            + "; ".join(_drift_summary(rows[name]) for name in changed),
            remedy="See `gatelodge tool diff`, then approve what it shows.",
        )
    # A block is a word of its own, which no approval takes back in passing (decision 0018).
    blocked = [name for name in tools if rows[name].blocked]
    if blocked:
        raise Conflict(
            f"the tool {blocked[0]!r} is blocked",
            remedy="Lift the block first: gatelodge tool unblock.",
        )
    # By the whole digest, not that of the use: new looks reach clients once they are approved.
    due = [rows[name] for name in tools if rows[name].approved != rows[name].observed]
    for row in due:
        _pin_definition(act, row)
    return PinnedTools(tuple(row.name for row in due))


@tool.verb(ends="tool", foreseen=True)
def block(act: GovernanceAct, tool: Tool) -> EndedAccess:
    """Block a tool, whatever is approved; answers when it holds on every node."""
    if not tool.blocked:
        act.tx.put(replace(tool, blocked=True))
        act.record("tool.blocked", tool.workspace, server=tool.server, tool=tool.name)
    return EndedAccess()


@tool.verb(act="tool.approve", rows="unblocked")
def unblock(act: GovernanceAct, server: Server, tools: tuple[str, ...]) -> list[Tool]:
    """Lift blocks; what was approved before holds again, unless it changed.

    Raises NotFound.
    """
    lifted = []
    for name in tools:
        row = lookup.tool_of(act.tx, server, name)
        if row.blocked:
            row = replace(row, blocked=False)
            act.tx.put(row)
            act.record("tool.unblocked", row.workspace, server=row.server, tool=name)
        lifted.append(row)
    return lifted


@tool.verb(rows="reviewed")
def review(act: GovernanceAct, server: Server, tools: dict[str, ToolFinding]) -> list[Tool]:
    """Write down what tools were found to be, each by the digest that was shown.

    Raises NotFound, Invalid (contradicts itself), Conflict (a definition is not the one shown).
    """
    return [
        _review_definition(act, lookup.tool_of(act.tx, server, name), found)
        for name, found in tools.items()
    ]


def _review_definition(act: GovernanceAct, tool: Tool, found: ToolFinding) -> Tool:
    was_read_only, was_destructive, was_open_world = tool.effect
    read_only = was_read_only if found.read_only is None else found.read_only
    destructive = found.destructive
    if destructive is None:
        # Who says that a tool only reads has said that it destroys nothing.
        destructive = was_destructive and not read_only
    if read_only and destructive:
        raise Invalid("a tool that only reads is not destructive")
    # A server can change a tool while an admin reads it: the finding is about what was read.
    if found.digest != tool.observed:
        raise Conflict(
            f"not what was shown any more: {_drift_summary(tool)}",
            remedy="Look at it again: gatelodge tool show.",
        )
    reviewed = replace(
        tool,
        read_only=read_only,
        destructive=destructive,
        open_world=was_open_world if found.open_world is None else found.open_world,
        reviewed=True,
        # The review goes with the use: other icons must not undo it (decision 0018).
        reviewed_use=tool.observed_use,
    )
    if reviewed != tool:
        act.tx.put(reviewed)
        act.record(
            "tool.reviewed",
            tool.workspace,
            server=tool.server,
            tool=tool.name,
            def_sha256=tool.observed,
            read_only=reviewed.read_only,
            destructive=reviewed.destructive,
            open_world=reviewed.open_world,
        )
    return reviewed


def instructions(row: Server) -> InstructionsState:
    """What a server tells every session, and what of it was approved."""
    return InstructionsState(
        standing=instructions_standing(row),
        digest=instructions_digest(row.instructions),
        text=row.instructions,
        approved=row.approved_instructions,
        differences=compare_texts(row.approved_instructions, row.instructions, "instructions"),
    )


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


def _pin_definition(act: GovernanceAct, tool: Tool) -> None:
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


def _drift_summary(tool: Tool) -> str:
    """What of a tool differs from what was approved, in a few places."""
    # Not a whole comparison: this is said within a transaction, of as many tools as changed.
    places = changed_places(tool.approved_definition, tool.definition, 4)
    if not tool.approved_definition or not places:
        return repr(tool.name)
    more = ", ..." if len(places) > 3 else ""
    return f"{tool.name!r} (against what is approved: {', '.join(places[:3])}{more})"
