"""The tables about systems: what was asked of them, answered, believed."""

from sqlalchemy import BigInteger, Column, Index, LargeBinary, String, Table

from central.columns import Id, metadata

# Commands that systems have to answer, and pick tasks whose answer was missed.
awaited = Table(
    "awaited",
    metadata,
    Column("command_id", String, primary_key=True),
    Column("order_id", String, nullable=False, index=True),
    Column("system", Id, nullable=False),
    Column("step", String, nullable=False),
    Column("since_ms", BigInteger, nullable=False),
    Column("sequence", BigInteger),  # of the command in the hub's stream; a pick task has none
    Column("task_id", String),
    Column("missed_ms", BigInteger),
    Column("answered_ms", BigInteger),
    Column("outcome", String),  # see `central.dealings`
)
_open = awaited.c.answered_ms.is_(None)
Index(
    "awaited_by_system", awaited.c.system, awaited.c.sequence,
    sqlite_where=_open, postgresql_where=_open,
)  # fmt: skip
_not_missed = _open & awaited.c.missed_ms.is_(None)
Index(
    "awaited_by_age", awaited.c.step, awaited.c.since_ms,
    sqlite_where=_not_missed, postgresql_where=_not_missed,
)  # fmt: skip
_of_task = awaited.c.task_id.is_not(None)
Index("awaited_by_task", awaited.c.task_id, sqlite_where=_of_task, postgresql_where=_of_task)
# The inventory lock that each order was last given.
locks = Table(
    "locks",
    metadata,
    Column("order_id", String, primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("lines", LargeBinary, nullable=False),
)

# What systems believe of orders, in their own words.
beliefs = Table(
    "beliefs",
    metadata,
    Column("system", Id, primary_key=True),
    Column("order_id", String, primary_key=True),
    Column("word", String, nullable=False),
    Column("said_ms", BigInteger, nullable=False),
)

# Events of systems that are in the hub's stream, and where, so that a repeat is known.
heard = Table(
    "heard",
    metadata,
    Column("source", String, primary_key=True),
    Column("event_id", String, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
)

# Signs of life of systems; no view.
sightings = Table(
    "sightings",
    metadata,
    Column("system", Id, primary_key=True),
    Column("last_seen_ms", BigInteger, nullable=False),
)
