"""Work that is longer than a request (decision 0029)."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

_TEXTS = ("kind", "workspace", "started_by", "state", "node")
_NUMBERS = ("done", "total", "asked_at", "begun_at", "ended_at")


def upgrade() -> None:
    """Add the table; of a kind and workspace at most one job has not ended."""
    op.create_table(
        "jobs",
        sa.Column("id", sa.Text, primary_key=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in _TEXTS),
        sa.Column("attempts", sa.BigInteger, nullable=False),
        sa.Column("stage", sa.Text, nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in _NUMBERS),
        sa.Column("content", sa.Text, nullable=False),
    )
    active = sa.text("ended_at = 0")
    op.create_index(
        "jobs_active",
        "jobs",
        ["kind", "workspace"],
        unique=True,
        sqlite_where=active,
        postgresql_where=active,
    )
