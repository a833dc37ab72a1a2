"""Rows and structs: the same fields, two forms."""

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import Struct
from sqlalchemy import Select, Table, select

from gatelodge.adapters.store import tables
from gatelodge.core.errors import StoreDown
from gatelodge.core.state import NOUNS, GovernanceState, Row

R = TypeVar("R", bound=Row)

_decode = msgspec.json.Decoder().decode


class KeptRows(Struct, frozen=True):
    """How one kind of row is kept: its table, its columns (some JSON text), its key, its query.

    Columns stand in the order of the struct's fields; the query gives all rows, oldest first.
    """

    field: str
    table: Table
    names: tuple[str, ...]
    json: frozenset[str]
    key: tuple[str, ...]
    select: Select[Any]

    @property
    def of_workspace(self) -> bool:
        """True when each row belongs to a workspace, so that a query has to name it."""
        return "workspace" in self.names


def _kept_rows_of_noun(noun: type[Row], field: str) -> KeptRows:
    table = tables.metadata.tables[field]
    names = noun.__struct_fields__
    key = tuple(column.name for column in table.primary_key.columns)
    wish = ("created_at", "id") if "created_at" in names else ("server", "position", *key)
    order = tuple(table.c[name] for name in wish if name in names)
    columns = select(*(table.c[name] for name in names))
    ordered = columns.order_by(*order)
    return KeptRows(field, table, names, tables.kept_as_json(noun), key, ordered)


_FIELDS = tuple(
    field for field in GovernanceState.__struct_fields__ if field not in ("gov", "epoch")
)
KEPT: dict[type[Any], KeptRows] = {
    noun: _kept_rows_of_noun(noun, field) for noun, field in zip(NOUNS, _FIELDS, strict=True)
}
BY_FIELD: dict[str, type[Row]] = {kept.field: noun for noun, kept in KEPT.items()}


def columns_of(row: Row) -> dict[str, object]:
    """The row as the values of its columns."""
    return equal_to(type(row), {name: getattr(row, name) for name in row.__struct_fields__})


def equal_to(noun: type[Any], equals: dict[str, object]) -> dict[str, object]:
    """Values of fields as values of columns."""
    json = KEPT[noun].json
    return {
        name: msgspec.json.encode(value).decode() if name in json else value
        for name, value in equals.items()
    }


def structs_of(noun: type[R], rows: Iterable[Sequence[object]]) -> list[R]:
    """The structs behind rows of all columns, in the struct's order.

    Raises StoreDown when a row holds what this version does not know, such as a later status.
    """
    names, json = KEPT[noun].names, KEPT[noun].json
    plain = [dict(zip(names, row, strict=True)) for row in rows]
    for row in plain:
        row.update({name: _decode(row[name]) for name in json})  # type: ignore[arg-type]
    try:
        return msgspec.convert(plain, list[noun])  # type: ignore[valid-type]
    except msgspec.ValidationError as fault:
        raise StoreDown(
            f"a row of {KEPT[noun].field} is not what this version knows",
            remedy="Start the version of gatelodge that last wrote this database.",
        ) from fault
