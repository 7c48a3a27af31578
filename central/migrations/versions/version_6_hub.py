"""Version 6: the order hub."""

import sqlalchemy as sa
from alembic import op

from central.guards import refusals

revision = "6"
down_revision = "5"


def upgrade() -> None:
    """From version 5 to 6."""
    op.create_table(
        "archives",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("entries", sa.BigInteger(), nullable=False),
        sa.Column("file", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("heads", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_table(
        "devices",
        sa.Column("edge_id", sa.String(length=64), nullable=False),
        sa.Column("device", sa.String(length=64), nullable=False),
        sa.Column("part", sa.String(length=64), nullable=False),
        sa.Column("fault", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_seen_ms", sa.BigInteger(), nullable=True),
        sa.Column("node_id", sa.String(length=64), nullable=True),
        sa.Column("detail", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("edge_id", "device", "part", "fault"),
    )
    op.create_index("devices_by_name", "devices", ["device"], unique=False)
    op.create_index(op.f("ix_devices_node_id"), "devices", ["node_id"], unique=False)
    op.create_index("exceptions_by_order", "exceptions", ["order_id"], unique=False)
    op.create_index("orders_by_state", "orders", ["state", "order_id"], unique=False)
    op.create_index("tasks_by_node", "tasks", ["node_id", "task_id"], unique=False)
    for statement in refusals("archives", op.get_bind().dialect.name):
        op.execute(statement)
