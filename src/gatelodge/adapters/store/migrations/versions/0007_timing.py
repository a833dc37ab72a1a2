"""How long a server may take: as the settings say, for every server there is."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the column."""
    column = sa.Column("timing", sa.Text, nullable=False, server_default="{}")
    op.add_column("servers", column)
