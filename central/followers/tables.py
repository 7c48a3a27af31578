"""The tables of the followers: how far each has come, and what is still to be delivered."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    MetaData,
    String,
    Table,
)

from shared.limits import ID_CHARS_MAX

SCHEMA_VERSION: Final = 1

metadata = MetaData()
_Name = String(ID_CHARS_MAX + 8)

followers_version = Table(
    "followers_version", metadata, Column("version", Integer, primary_key=True)
)

# Everything up to the position is published, or has its rows in `deliveries`.
cursors = Table(
    "follower_cursors",
    metadata,
    Column("follower", _Name, primary_key=True),
    Column("position", BigInteger, nullable=False),
)

endpoints = Table(
    "webhook_endpoints",
    metadata,
    Column("endpoint", _Name, primary_key=True),
    Column("delivered", BigInteger, nullable=False),
    Column("disabled_ms", BigInteger),  # when it said 410
    Column("paused_ms", BigInteger, nullable=False),  # it asked not to be spoken to before
)

# What is delivered has no row any more.
deliveries = Table(
    "deliveries",
    metadata,
    Column("endpoint", _Name, primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", String, nullable=False),
    Column("order_id", String),
    Column("attempts", Integer, nullable=False),
    Column("due_ms", BigInteger, nullable=False),
    Column("dead_ms", BigInteger),  # since when nobody tries any more
    Column("reason", String, nullable=False),  # of the last failure
    Index("deliveries_by_order", "endpoint", "order_id", "position"),
    Index("deliveries_due", "endpoint", "dead_ms", "due_ms"),
)
