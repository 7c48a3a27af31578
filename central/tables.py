"""The tables of central's database."""

from typing import Final

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
    PrimaryKeyConstraint,
    Sequence,
    String,
    Table,
    UniqueConstraint,
    text,
)

from central.columns import Id as _Id
from central.columns import Position as _Position
from central.columns import metadata as metadata
from central.guards import guard
from central.system_tables import awaited as awaited
from central.system_tables import beliefs as beliefs
from central.system_tables import heard as heard
from central.system_tables import locks as locks
from central.system_tables import sightings as sightings

SCHEMA_VERSION: Final = 7
"""The newest revision of `central.migrations`, which says how to change the tables."""


turns = Sequence("turns", metadata=metadata)
"""Counts how often workers have written to a server's database; see `central.ownership`."""

# Alembic's own.
alembic_version = Table(
    "alembic_version",
    metadata,
    Column("version_num", String(32)),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)

streams = Table(
    "streams",
    metadata,
    Column("edge_id", _Id, primary_key=True),
    Column("epoch", BigInteger, nullable=False),  # 0: not heard yet
    Column("sequence", BigInteger, nullable=False),  # in the ledger through here
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

# Where an edge's epochs ended that are over.
epochs = Table(
    "epochs",
    metadata,
    Column("edge_id", _Id, primary_key=True),
    Column("epoch", BigInteger, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("head", LargeBinary, nullable=False),
)

# Starts of edges about which something was noted, so that it is noted once.
noted = Table(
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
    Column("raw", LargeBinary, nullable=False),  # exactly the bytes that the edge has sent
    Column("hash", LargeBinary, nullable=False),
    Column("received_ms", BigInteger),  # when central took it in; not part of the hash
    UniqueConstraint("edge_id", "epoch", "sequence"),
    Index("ledger_by_order", "correlation_id"),
    # A position is never used again, not even after the last row was removed by force.
    sqlite_autoincrement=True,
)

orders = Table(
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
    Column("state_ms", BigInteger),  # since when it is in this state; unknown before version 6
    Index("orders_by_state", "state", "order_id"),
)

tasks = Table(
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
    Index("tasks_by_node", "node_id", "task_id"),
)
_UNTOLD: Final = tasks.c.state == "issued"
Index(
    "tasks_by_age", tasks.c.changed_ms, tasks.c.task_id,
    sqlite_where=_UNTOLD, postgresql_where=_UNTOLD,
)  # fmt: skip

_HELPED: Final = text('"group" >= 0')
waiting = Table(
    "waiting",
    metadata,
    Column("order_id", String, primary_key=True),
    Column("line", Integer, primary_key=True),
    Column("edge_id", _Id, nullable=False),
    Column("sku", _Id, nullable=False),
    Column("units", BigInteger, nullable=False),
    Column("reason", String, nullable=False),
    Column("group", Integer, nullable=False),  # lines that need one node; -1: stock is no help
    Column("nodes", String, nullable=False),
    Index("waiting_for_stock", "sku", sqlite_where=_HELPED, postgresql_where=_HELPED),
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
_DEBT: Final = accounts.c.pool < 0
Index("accounts_in_debt", accounts.c.pool, sqlite_where=_DEBT, postgresql_where=_DEBT)

shares = Table(
    "shares",
    metadata,
    Column("node_id", _Id, primary_key=True),
    Column("sku", _Id, primary_key=True),
    Column("edge_id", _Id, primary_key=True),
    Column("units", BigInteger, nullable=False),
    Column("coming", BigInteger, nullable=False),  # recalled, and not answered for
    Column("demand", Float, nullable=False),  # units sold, old ones counting less
    Column("demand_ms", BigInteger, nullable=False),  # when they counted so much
    Index("shares_by_edge", "edge_id"),
)

# Outstanding: `number` is the feed item that asks for the units.
recalls = Table(
    "recalls",
    metadata,
    Column("edge_id", _Id, primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("node_id", _Id, primary_key=True),
    Column("sku", _Id, primary_key=True),
    Column("units", BigInteger, nullable=False),
)

feed = Table(
    "feed",
    metadata,
    Column("edge_id", _Id, ForeignKey("streams.edge_id"), primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("kind", String, nullable=False),
    Column("body", LargeBinary, nullable=False),
)

# What nodes can pick, for edges that join later.
capacities = Table(
    "capacities",
    metadata,
    Column("event_id", String, primary_key=True),
    Column("ends_ms", BigInteger, nullable=False),
    Column("raw", LargeBinary, nullable=False),
)

# Stock on its way or in inspection, for edges that join later.
lots = Table(
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

networks = Table(
    "networks",
    metadata,
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("document", LargeBinary, nullable=False),
)

# Entries of the ledger that had no effect at first: when they got it, by the last position then.
replays = Table(
    "replays",
    metadata,
    Column("number", _Position, primary_key=True),
    Column("after_position", BigInteger, nullable=False),
    Column("edge_id", _Id, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("sequence", BigInteger, nullable=False),
)

# What central has signed: see `central.checkpoint`.
checkpoints = Table(
    "checkpoints",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("position", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
)

# Every sourcing document that was ever published.
sourcings = Table(
    "sourcings",
    metadata,
    Column("version", _Id, primary_key=True),
    Column("document", LargeBinary, nullable=False),
)

# The last one tells which sourcing document is in force, and to which a rollback goes.
activations = Table(
    "activations",
    metadata,
    Column("number", _Position, primary_key=True),
    Column("version", _Id, ForeignKey("sourcings.version"), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("before", BigInteger),  # number of the activation that a rollback brings back
)

# The newest only.
prices = Table(
    "prices",
    metadata,
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("document", LargeBinary, nullable=False),
)

# Contact details, sealed; see `central.vault`.
vault = Table(
    "vault",
    metadata,
    Column("order_id", String, primary_key=True),
    Column("key", ForeignKey("vault_keys.number"), nullable=False, index=True),
    Column("sealed", LargeBinary, nullable=False),
)

# Rows are only appended, and overwritten by others of the same length.
vault_keys = Table(
    "vault_keys",
    metadata,
    Column("number", _Position, primary_key=True),
    Column("subject", String, nullable=False, index=True),
    Column("wrapped", LargeBinary, nullable=False),
)

# Whose contacts are not kept any more, if they come again.
forgotten = Table(
    "forgotten",
    metadata,
    Column("subject", String, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
)

# Who has read a contact, or let it be forgotten.
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

poison = Table(
    "poison",
    metadata,
    Column("edge_id", _Id, primary_key=True),
    Column("epoch", BigInteger, primary_key=True),
    Column("sequence", BigInteger, primary_key=True),
    Column("raw", LargeBinary, nullable=False),
    Column("code", String, nullable=False),
    Column("detail", String, nullable=False),
)

exceptions = Table(
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
    Index("exceptions_by_order", "order_id"),
)

# The devices of all sites, and their faults: see `central.devices`.
devices = Table(
    "devices",
    metadata,
    Column("edge_id", _Id, primary_key=True),
    Column("device", _Id, primary_key=True),
    Column("part", _Id, primary_key=True),  # empty: the device itself
    Column("fault", _Id, primary_key=True),  # empty: no fault, but whether it is there
    Column("status", String, nullable=False),
    Column("since_ms", BigInteger, nullable=False),
    Column("last_seen_ms", BigInteger),
    Column("node_id", _Id, index=True),
    Column("detail", String, nullable=False),
    Index("devices_by_name", "device"),
)

# Parts of the ledger that were moved to files: see `central.history`.
archives = Table(
    "archives",
    metadata,
    Column("number", _Position, primary_key=True),
    Column("first", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
    Column("entries", BigInteger, nullable=False),
    Column("file", String, nullable=False),
    Column("sha256", String, nullable=False),
    Column("heads", LargeBinary, nullable=False),
    Column("digest", String, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)

for _table in (ledger, checkpoints, replays, sourcings, activations, accesses, archives):
    guard(_table)

schema_version = Table("schema_version", MetaData(), Column("version", Integer))
"""Where databases up to version 4 had their number."""
