"""One governance transaction: rows to change and leaves to record, together."""

from typing import TypeVar

from sqlalchemy import Connection, Delete, and_, delete
from sqlalchemy.dialects import postgresql, sqlite

from gatelodge.adapters.store.rows import KEPT, columns_of, equal_to, structs_of
from gatelodge.core.errors import Broken
from gatelodge.core.records.governance import GovFact
from gatelodge.core.state import Row

R = TypeVar("R", bound=Row)


class SqlTx:
    """The port `Tx` on one connection; `facts` are what was recorded, in order."""

    def __init__(self, connection: Connection, *, writable: bool) -> None:
        self._connection = connection
        self._writable = writable
        self._changed = False
        self.facts: list[GovFact] = []

    def find(self, noun: type[R], **equals: object) -> list[R]:
        """The rows whose fields have these values, oldest first.

        Raises TypeError when a field is unknown, or when the workspace is missing.
        """
        kept = KEPT[noun]
        # A query that forgets it would show one workspace the rows of another.
        if kept.of_workspace and "workspace" not in equals:
            raise TypeError(f"a query of {kept.field} has to name the workspace")
        unknown = equals.keys() - set(kept.names)
        if unknown:
            raise TypeError(f"{kept.field} has no {', '.join(sorted(unknown))}")
        wanted = equal_to(noun, equals)
        query = kept.select.where(*(kept.table.c[name] == wanted[name] for name in wanted))
        return structs_of(noun, self._connection.execute(query))

    def put(self, row: Row) -> None:
        """Insert the row, or replace the one with the same key."""
        self._must_be_writable()
        kept = KEPT[type(row)]
        values = columns_of(row)
        insert = (sqlite if self._connection.dialect.name == "sqlite" else postgresql).insert
        rest = {name: values[name] for name in kept.names if name not in kept.key}
        statement = insert(kept.table).values(values)
        if rest:
            statement = statement.on_conflict_do_update(index_elements=kept.key, set_=rest)
        else:
            # A table that is all key has nothing to replace, and an empty SET is no SQL.
            statement = statement.on_conflict_do_nothing(index_elements=kept.key)
        self._connection.execute(statement)

    def remove(self, row: Row) -> None:
        """Delete the row; what still points at it makes the transaction fail (Conflict)."""
        self._must_be_writable()
        kept = KEPT[type(row)]
        same = and_(*(kept.table.c[name] == getattr(row, name) for name in kept.key))
        statement: Delete = delete(kept.table).where(same)
        self._connection.execute(statement)

    def record(self, fact: GovFact) -> None:
        """Append a leaf to the gov log when this transaction commits."""
        self._must_be_writable(rows=False)
        self.facts.append(fact)

    def check(self) -> None:
        """Raise Broken when rows changed and no leaf says so: nodes would never hear of it."""
        if self._changed and not self.facts:
            raise Broken("rows changed without a leaf in the gov log")

    def _must_be_writable(self, *, rows: bool = True) -> None:
        if not self._writable:
            raise TypeError("this transaction only reads")
        self._changed = self._changed or rows
