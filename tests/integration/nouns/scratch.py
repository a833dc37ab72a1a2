"""A noun that nobody needs, in one file: row, table, what is seen of it, its verbs and its file."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import BigInteger, Column, MetaData, Table, Text, select

from gatelodge.adapters.store.rows import KeptRows
from gatelodge.core.errors import Conflict, NotFound
from gatelodge.core.ids import Instant, WorkspaceId
from gatelodge.core.instant import rfc3339
from gatelodge.flows.act import GovernanceAct
from gatelodge.flows.nouns.file_table import (
    FileEntry,
    FileNames,
    FilePlan,
    FileTable,
    NounChange,
    WorkspaceRows,
)
from gatelodge.flows.nouns.noun import Noun, RowByName, ShowContext, Wording

MIGRATION = """
CREATE TABLE buoys (
    id TEXT NOT NULL, workspace TEXT NOT NULL REFERENCES workspaces(id), name TEXT NOT NULL,
    colour TEXT NOT NULL, beside TEXT NOT NULL, created_at BIGINT NOT NULL,
    PRIMARY KEY (workspace, id)
)
"""
TABLE = Table(
    "buoys",
    MetaData(),
    Column("id", Text, primary_key=True),
    Column("workspace", Text, primary_key=True),
    Column("name", Text),
    Column("colour", Text),
    Column("beside", Text),
    Column("created_at", BigInteger),
)


class Buoy(Struct, frozen=True, kw_only=True):
    """A mark in the water."""

    id: str
    workspace: WorkspaceId
    name: str
    colour: str
    beside: str
    created_at: Instant


KEPT = KeptRows(
    field="buoys",
    table=TABLE,
    names=Buoy.__struct_fields__,
    json=frozenset(),
    key=("workspace", "id"),
    select=select(TABLE).order_by(TABLE.c.created_at, TABLE.c.id),
)


class BuoyShape(Struct, frozen=True, kw_only=True):
    """A buoy; `beside` is the name of the one that it was laid beside."""

    id: str
    name: str
    colour: str
    beside: str
    created_at: str


class RaisedBuoy(Struct, frozen=True):
    """A buoy that is no more."""

    raised: str


def find_buoy(tx, workspace: WorkspaceId, text: str) -> Buoy:
    """The buoy of that name or id."""
    rows = tx.find(Buoy, workspace=workspace)
    for row in rows:
        if text in {row.id, row.name}:
            return row
    raise NotFound(f"no buoy is called {text!r}", remedy="See `gatelodge buoy list`.")


buoy = Noun(
    Buoy,
    plural="buoys",
    find=find_buoy,
    called="NAME",
    about="Marks in the water.",
    columns=("name", "colour", "beside", "id"),
    empty="No buoys yet. Lay one: gatelodge buoy lay north",
)
Colour = Literal["red", "green"]
Neighbour = Annotated[Buoy | None, RowByName(find_buoy, "NAME", "Which one it lies beside.")]


@buoy.shown
def shapes(tx, rows: Sequence[Buoy], _context: ShowContext) -> list[BuoyShape]:
    """Buoys, with the names of their neighbours."""
    names = {row.id: row.name for row in tx.find(Buoy, workspace=rows[0].workspace)}
    return [
        BuoyShape(
            id=row.id,
            name=row.name,
            colour=row.colour,
            beside=names.get(row.beside, ""),
            created_at=rfc3339(row.created_at),
        )
        for row in rows
    ]


@buoy.verb("{name} is laid, {colour}.")
def lay(
    act: GovernanceAct,
    workspace: WorkspaceId,
    name: str,
    colour: Annotated[Colour, Wording("What it is painted.")] = "red",
    beside: Neighbour = None,
) -> Buoy:
    """Lay a buoy.

    Raises Conflict (the name is taken).
    """
    if any(each.name == name for each in act.tx.find(Buoy, workspace=workspace)):
        raise Conflict(f"there is a buoy {name!r} already")
    made = Buoy(
        id=act.ids.new("buo"),
        workspace=workspace,
        name=name,
        colour=colour,
        beside=beside.id if beside else "",
        created_at=act.at,
    )
    act.tx.put(made)
    act.record("buoy.laid", workspace, buoy=made.id)
    return made


@buoy.verb("{name} is {colour} now.")
def paint(act: GovernanceAct, buoy: Buoy, colour: Colour) -> Buoy:
    """Paint a buoy in another colour."""
    painted = replace(buoy, colour=colour)
    act.tx.put(painted)
    act.record("buoy.painted", buoy.workspace, buoy=buoy.id)
    return painted


@buoy.verb("{raised} is gone.", name="raise", removes=True, asks="Raise {name}?")
def raise_buoy(act: GovernanceAct, buoy: Buoy) -> RaisedBuoy:
    """Take a buoy out of the water."""
    act.tx.remove(buoy)
    act.record("buoy.raised", buoy.workspace, buoy=buoy.id)
    return RaisedBuoy(buoy.name)


class WantedBuoy(FileEntry, frozen=True, kw_only=True):
    """A buoy and its colour."""

    name: str
    colour: Colour = "red"


class BuoyTable(FileTable[WantedBuoy]):
    """`[[buoys]]`."""

    noun, entry, reads = buoy, WantedBuoy, (Buoy,)

    def key(self, entry: WantedBuoy) -> str:
        """The name."""
        return entry.name

    def exported(self, rows: WorkspaceRows, _names: FileNames) -> Iterator[WantedBuoy]:
        """Each of them."""
        for row in rows.of(Buoy):
            yield WantedBuoy(name=row.name, colour=row.colour)

    def changes(self, plan: FilePlan) -> Iterator[NounChange]:
        """What is laid, painted, and raised when it is pruned."""
        standing = {row.name: row for row in plan.rows.of(Buoy)}
        for each in self.entries_of(plan.file):
            row, given = standing.pop(each.name, None), {"colour": each.colour}
            if row is None:
                line = f"+ buoy {each.name}"
                yield NounChange(verb="buoy.lay", given={"name": each.name, **given}, line=line)
            elif row.colour != each.colour:
                line = f"~ buoy {each.name} is {each.colour}"
                yield NounChange(verb="buoy.paint", name=each.name, given=given, line=line)
        for name in standing if plan.prune else ():
            yield NounChange(verb="buoy.raise", name=name, line=f"- buoy {name}")
