"""Guardrails are kept as people wrote them too; so far both forms are the same."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the column."""
    column = sa.Column("written", sa.Text, nullable=False, server_default="")
    op.add_column("guardrails", column)
    op.execute("UPDATE guardrails SET written = text")
