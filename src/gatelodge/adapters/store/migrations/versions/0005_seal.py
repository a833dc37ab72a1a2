"""The seal of a log's head: who appended last, this house or somebody else."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the column; a log that was written before has no seal, and is refused with the reason."""
    op.add_column("log", sa.Column("seal", sa.LargeBinary, nullable=True))
