"""Guardrails are kept as people wrote them too, and tokens with the one that issued them.

Both forms of the guardrails that are there are the same; nothing is known of the tokens' origin.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the columns."""
    column = sa.Column("written", sa.Text, nullable=False, server_default="")
    op.add_column("guardrails", column)
    parent = sa.Column("parent", sa.Text, nullable=False, server_default="")
    op.add_column("credentials", parent)
    op.execute("UPDATE guardrails SET written = text")
