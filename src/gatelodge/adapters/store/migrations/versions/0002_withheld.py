"""What a server is never told of a client: nothing so far, for every server there is."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column."""
    column = sa.Column("withheld", sa.Text, nullable=False, server_default="[]")
    op.add_column("servers", column)
