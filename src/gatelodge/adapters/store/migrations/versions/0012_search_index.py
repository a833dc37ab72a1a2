"""The index of the logs, by which searches find records (decision 0040)."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Add its tables, empty: the index is made of the logs, a piece at a time."""
    op.create_table(
        "index_log",
        _numbered(),
        sa.Column("log", sa.Text, nullable=False),
        sa.Column("origin", sa.Text, nullable=False),
        _number("position"),
        sa.Column("root", sa.LargeBinary, nullable=False),
        _number("dropped"),
        sqlite_autoincrement=True,
    )
    live = sa.text("dropped = 0")
    op.create_index(
        "index_log_live",
        "index_log",
        ["log"],
        unique=True,
        sqlite_where=live,
        postgresql_where=live,
    )
    op.create_table(
        "index_term", _numbered(), _number("of"), sa.Column("term", sa.Text, nullable=False)
    )
    op.create_index("index_term_of", "index_term", ["of", "term"], unique=True)
    op.create_table(
        "index_posting",
        _number("term"),
        _number("chunk"),
        sa.Column("places", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("term", "chunk"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "index_open",
        _number("of"),
        sa.Column("pair", sa.Text, nullable=False),
        _number("place"),
        sa.PrimaryKeyConstraint("of", "pair"),
        sqlite_with_rowid=False,
    )


def _numbered() -> "sa.Column[int]":
    kind = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    return sa.Column("id", kind, sa.Identity(always=True), primary_key=True)


def _number(name: str) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger, nullable=False, autoincrement=False)
