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
        "awaited",
        sa.Column("command_id", sa.String(), nullable=False),
        sa.Column("order_id", sa.String(), nullable=False),
        sa.Column("system", sa.String(length=64), nullable=False),
        sa.Column("step", sa.String(), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=True),
        sa.Column("task_id", sa.String(), nullable=True),
        sa.Column("missed_ms", sa.BigInteger(), nullable=True),
        sa.Column("answered_ms", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("command_id"),
    )
    op.create_index(
        "awaited_by_age",
        "awaited",
        ["step", "since_ms"],
        unique=False,
        sqlite_where=sa.text("answered_ms IS NULL AND missed_ms IS NULL"),
        postgresql_where=sa.text("answered_ms IS NULL AND missed_ms IS NULL"),
    )
    op.create_index(
        "awaited_by_system",
        "awaited",
        ["system", "sequence"],
        unique=False,
        sqlite_where=sa.text("answered_ms IS NULL"),
        postgresql_where=sa.text("answered_ms IS NULL"),
    )
    op.create_index(
        "awaited_by_task",
        "awaited",
        ["task_id"],
        unique=False,
        sqlite_where=sa.text("task_id IS NOT NULL"),
        postgresql_where=sa.text("task_id IS NOT NULL"),
    )
    op.create_index(op.f("ix_awaited_order_id"), "awaited", ["order_id"], unique=False)
    op.create_table(
        "beliefs",
        sa.Column("system", sa.String(length=64), nullable=False),
        sa.Column("order_id", sa.String(), nullable=False),
        sa.Column("word", sa.String(), nullable=False),
        sa.Column("said_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("system", "order_id"),
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
    op.create_table(
        "heard",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("source", "event_id"),
    )
    op.create_table(
        "locks",
        sa.Column("order_id", sa.String(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("lines", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("order_id"),
    )
    op.create_table(
        "sightings",
        sa.Column("system", sa.String(length=64), nullable=False),
        sa.Column("last_seen_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("system"),
    )
    op.create_index("exceptions_by_order", "exceptions", ["order_id"], unique=False)
    op.add_column("orders", sa.Column("state_ms", sa.BigInteger(), nullable=True))
    op.create_index("orders_by_state", "orders", ["state", "order_id"], unique=False)
    op.create_index(
        "tasks_by_age",
        "tasks",
        ["changed_ms", "task_id"],
        unique=False,
        sqlite_where=sa.text("state = 'issued'"),
        postgresql_where=sa.text("state = 'issued'"),
    )
    op.create_index("tasks_by_node", "tasks", ["node_id", "task_id"], unique=False)
    for statement in refusals("archives", op.get_bind().dialect.name):
        op.execute(statement)
