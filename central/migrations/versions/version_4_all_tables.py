"""Version 4: all tables, as they were when Alembic took over.

A file of version 2, 3 or 4 has some of them, and its number in a table of its own.
"""

from typing import Final

from alembic import op
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    text,
)

from central.guards import guard

revision = "4"
down_revision = None

metadata = MetaData()
_Id: Final = String(64)
_Position: Final = BigInteger().with_variant(Integer, "sqlite")

Table(
    "streams",
    metadata,
    Column("edge_id", _Id, primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("head", LargeBinary, nullable=False),
    Column("share_epoch", BigInteger, nullable=False),
    Column("fenced", Boolean, nullable=False),
    Column("rejoin", BigInteger, nullable=False),
    Column("restored", Boolean, nullable=False),
    Column("retold", BigInteger, nullable=False),
    Column("boot", String, nullable=False),
    Column("closed", Boolean, nullable=False),
    Column("feed_next", BigInteger, nullable=False),
    Column("feed_acked", BigInteger, nullable=False),
    Column("last_seen_ms", BigInteger, nullable=False),
)

Table(
    "epochs",
    metadata,
    Column("edge_id", _Id, primary_key=True),
    Column("epoch", BigInteger, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("head", LargeBinary, nullable=False),
)

Table(
    "noted",
    metadata,
    Column("edge_id", _Id, primary_key=True),
    Column("boot", String, primary_key=True),
    Column("code", String, primary_key=True),
)

ledger = Table(
    "ledger",
    metadata,
    Column("position", _Position, primary_key=True),
    Column("edge_id", _Id, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("event_id", String),
    Column("source", String),
    Column("type", String),
    Column("correlation_id", String),
    Column("causation_id", String),
    Column("hlc", String),
    Column("raw", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    UniqueConstraint("edge_id", "epoch", "sequence"),
    Index("ledger_by_order", "correlation_id"),
    sqlite_autoincrement=True,
)

Table(
    "orders",
    metadata,
    Column("order_id", String, primary_key=True),
    Column("state", String, nullable=False),
    Column("edge_id", _Id),
    Column("store_id", _Id),
    Column("units", BigInteger, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", String, nullable=False),
    Column("cancelled", Boolean, nullable=False),
    Column("promised_ms", BigInteger),
    Column("opened_ms", BigInteger, nullable=False),
    Column("changed_ms", BigInteger, nullable=False),
)

Table(
    "tasks",
    metadata,
    Column("task_id", String, primary_key=True),
    Column("order_id", String, index=True),
    Column("node_id", _Id),
    Column("home_edge_id", _Id),
    Column("service_id", _Id),
    Column("state", String, nullable=False),
    Column("units", BigInteger, nullable=False),
    Column("missing", BigInteger, nullable=False),
    Column("promised_ms", BigInteger),
    Column("changed_ms", BigInteger, nullable=False),
)

Table(
    "waiting",
    metadata,
    Column("order_id", String, primary_key=True),
    Column("line", Integer, primary_key=True),
    Column("edge_id", _Id, nullable=False),
    Column("sku", _Id, nullable=False),
    Column("units", BigInteger, nullable=False),
    Column("reason", String, nullable=False),
    Column("group", Integer, nullable=False),
    Column("nodes", String, nullable=False),
    Index(
        "waiting_for_stock",
        "sku",
        sqlite_where=text('"group" >= 0'),
        postgresql_where=text('"group" >= 0'),
    ),
)

accounts = Table(
    "accounts",
    metadata,
    Column("node_id", _Id, primary_key=True),
    Column("sku", _Id, primary_key=True),
    Column("pool", BigInteger, nullable=False),
    Column("committed", BigInteger, nullable=False),
    Column("shipped", BigInteger, nullable=False),
    Column("received", BigInteger, nullable=False),
    Column("adjusted", BigInteger, nullable=False),
)
Index(
    "accounts_in_debt", accounts.c.pool, sqlite_where=accounts.c.pool < 0,
    postgresql_where=accounts.c.pool < 0,
)  # fmt: skip

Table(
    "shares",
    metadata,
    Column("node_id", _Id, primary_key=True),
    Column("sku", _Id, primary_key=True),
    Column("edge_id", _Id, primary_key=True),
    Column("units", BigInteger, nullable=False),
    Column("coming", BigInteger, nullable=False),
    Column("demand", Float, nullable=False),
    Column("demand_ms", BigInteger, nullable=False),
    Index("shares_by_edge", "edge_id"),
)

Table(
    "recalls",
    metadata,
    Column("edge_id", _Id, primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("node_id", _Id, primary_key=True),
    Column("sku", _Id, primary_key=True),
    Column("units", BigInteger, nullable=False),
)

Table(
    "feed",
    metadata,
    Column("edge_id", _Id, ForeignKey("streams.edge_id"), primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("kind", String, nullable=False),
    Column("body", LargeBinary, nullable=False),
)

Table(
    "capacities",
    metadata,
    Column("event_id", String, primary_key=True),
    Column("ends_ms", BigInteger, nullable=False),
    Column("raw", LargeBinary, nullable=False),
)

Table(
    "lots",
    metadata,
    Column("node_id", _Id, primary_key=True),
    Column("lot_id", String, primary_key=True),
    Column("sku", _Id, primary_key=True),
    Column("units", BigInteger, nullable=False),
    Column("expected_ms", BigInteger, nullable=False),
    Column("release_per_mille", Integer, nullable=False),
    Column("reason", String, nullable=False),
    Index("lots_by_sku", "node_id", "sku"),
)

Table(
    "networks",
    metadata,
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("document", LargeBinary, nullable=False),
)

replays = Table(
    "replays",
    metadata,
    Column("number", _Position, primary_key=True),
    Column("after_position", BigInteger, nullable=False),
    Column("edge_id", _Id, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("sequence", BigInteger, nullable=False),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("position", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
)

sourcings = Table(
    "sourcings",
    metadata,
    Column("version", _Id, primary_key=True),
    Column("document", LargeBinary, nullable=False),
)

activations = Table(
    "activations",
    metadata,
    Column("number", _Position, primary_key=True),
    Column("version", _Id, ForeignKey("sourcings.version"), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("before", BigInteger),
)

Table(
    "prices",
    metadata,
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("document", LargeBinary, nullable=False),
)

Table(
    "vault",
    metadata,
    Column("order_id", String, primary_key=True),
    Column("key", ForeignKey("vault_keys.number"), nullable=False, index=True),
    Column("sealed", LargeBinary, nullable=False),
)

Table(
    "vault_keys",
    metadata,
    Column("number", _Position, primary_key=True),
    Column("subject", String, nullable=False, index=True),
    Column("wrapped", LargeBinary, nullable=False),
)

Table(
    "forgotten",
    metadata,
    Column("subject", String, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
)

accesses = Table(
    "accesses",
    metadata,
    Column("number", _Position, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("by", String, nullable=False),
    Column("what", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("contacts", BigInteger, nullable=False),
)

Table(
    "poison",
    metadata,
    Column("edge_id", _Id, primary_key=True),
    Column("epoch", BigInteger, primary_key=True),
    Column("sequence", BigInteger, primary_key=True),
    Column("raw", LargeBinary, nullable=False),
    Column("code", String, nullable=False),
    Column("detail", String, nullable=False),
)

Table(
    "exceptions",
    metadata,
    Column("number", _Position, primary_key=True),
    Column("edge_id", _Id),
    Column("epoch", BigInteger),
    Column("sequence", BigInteger),
    Column("order_id", String),
    Column("code", String, nullable=False),
    Column("detail", String, nullable=False),
    Column("noted_ms", BigInteger, nullable=False),
)

for _table in (ledger, checkpoints, replays, sourcings, activations, accesses):
    guard(_table)


def upgrade() -> None:
    """From nothing, or from version 2, 3 or 4, to 4."""
    metadata.create_all(op.get_bind())
    op.execute("DROP TABLE IF EXISTS schema_version")
