"""Which journal segments were made, and the number of the frame at the mark: 0, not known yet."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the column and the table."""
    op.add_column(
        "journal_mark", sa.Column("frame", sa.BigInteger, nullable=False, server_default="0")
    )
    op.create_table(
        "journal_made",
        sa.Column("node", sa.Text, primary_key=True),
        sa.Column("first", sa.BigInteger, nullable=False),
        sa.Column("newest", sa.BigInteger, nullable=False),
    )
