"""Version 5: when central took an event in."""

import sqlalchemy as sa
from alembic import op

revision = "5"
down_revision = "4"


def upgrade() -> None:
    """From version 4 to 5."""
    op.add_column("ledger", sa.Column("received_ms", sa.BigInteger()))
