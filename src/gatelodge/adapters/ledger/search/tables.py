"""The tables of the search index; every row follows from the logs.

`index_log` is one index of one log, `index_term` a word that its leaves bear, such as `tool:read`,
`index_posting` where a word stands in a chunk, `index_open` what was opened and has not ended.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Identity,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)

from gatelodge.adapters.ledger.tables import metadata

_LIVE = text("dropped = 0")


def _numbered() -> Column[int]:
    kind = BigInteger().with_variant(Integer, "sqlite")
    return Column("id", kind, Identity(always=True), primary_key=True)


def _number(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


index_log = Table(
    "index_log",
    metadata,
    _numbered(),
    Column("log", Text, nullable=False),
    Column("origin", Text, nullable=False),
    _number("position"),
    Column("root", LargeBinary, nullable=False),
    _number("dropped"),
    Index("index_log_live", "log", unique=True, sqlite_where=_LIVE, postgresql_where=_LIVE),
    # An id is never used again: whoever still asks by that of a dropped index finds none.
    sqlite_autoincrement=True,
)

index_term = Table(
    "index_term",
    metadata,
    _numbered(),
    _number("of"),
    Column("term", Text, nullable=False),
    Index("index_term_of", "of", "term", unique=True),
)

index_posting = Table(
    "index_posting",
    metadata,
    Column("term", BigInteger, nullable=False, autoincrement=False),
    Column("chunk", BigInteger, nullable=False, autoincrement=False),
    Column("places", LargeBinary, nullable=False),
    PrimaryKeyConstraint("term", "chunk"),
    sqlite_with_rowid=False,
)

index_open = Table(
    "index_open",
    metadata,
    _number("of"),
    Column("pair", Text, nullable=False),
    _number("place"),
    PrimaryKeyConstraint("of", "pair"),
    sqlite_with_rowid=False,
)
