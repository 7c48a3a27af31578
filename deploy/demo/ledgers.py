"""Reads the stopped databases: plain sqlite3, read-only, and the raw JSON of their events.

Nothing of the daemons' own code is used, so that a fault there cannot hide itself here.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Cell = tuple[str, str]
"""Node id, SKU."""


@dataclass(frozen=True, slots=True)
class Account:
    """Central's account of a cell."""

    pool: int
    committed: int
    shipped: int
    received: int
    adjusted: int


@dataclass(slots=True)
class Central:
    """What central's database says.

    Attributes:
        payments: (source, id) of a payment to how often the ledger holds it as an order.
        orders: order id to how often the ledger has it accepted.
        tasks: task id to how often the ledger has it requested.
        shipped: task id to how often the ledger has it shipped.
        shares: edge id to cell to units.
        found: events that hold the word that was looked for.
        amiss: exceptions that central noted, and events that it could not read.
    """

    events: int = 0
    amiss: int = 0
    payments: Counter[tuple[str, str]] = field(default_factory=Counter)
    orders: Counter[str] = field(default_factory=Counter)
    tasks: Counter[str] = field(default_factory=Counter)
    shipped: Counter[str] = field(default_factory=Counter)
    accounts: dict[Cell, Account] = field(default_factory=dict)
    shares: dict[str, dict[Cell, int]] = field(default_factory=dict)
    found: int = 0


@dataclass(slots=True)
class Edge:
    """What an edge's database says.

    Attributes:
        events: entries of its log.
        shares: cell to units.
    """

    events: int = 0
    shares: dict[Cell, int] = field(default_factory=dict)


def read_central(path: Path, word: str = "") -> Central:
    """Read central's database.

    Args:
        path: the file; nobody else may have it open.
        word: what must not stand in any event; how many events hold it is counted.
    """
    central = Central()
    with closing(_open(path)) as connection:
        for (raw,) in connection.execute("select raw from ledger order by position"):
            event: dict[str, Any] = json.loads(raw)
            central.events += 1
            data, kind = event["data"], event["type"]
            if kind == "pointsman.order.accepted.v1":
                central.orders[data["order_id"]] += 1
                central.payments[data["payment_source"], data["payment_event_id"]] += 1
            elif kind == "pointsman.pick.requested.v1":
                central.tasks[data["task_id"]] += 1
            elif kind == "pointsman.package.shipped.v1":
                central.shipped[data["task_id"]] += 1
            if word and word.encode() in bytes(raw):
                central.found += 1
        for node_id, sku, *units in connection.execute(
            "select node_id, sku, pool, committed, shipped, received, adjusted from accounts"
        ):
            central.accounts[node_id, sku] = Account(*units)
        for edge_id, node_id, sku, share in connection.execute(
            "select edge_id, node_id, sku, units from shares where units <> 0"
        ):
            central.shares.setdefault(edge_id, {})[node_id, sku] = share
        for table in ("poison", "exceptions"):
            (rows,) = connection.execute(f"select count(*) from {table}").fetchone()  # noqa: S608
            central.amiss += rows
    return central


def read_edge(path: Path) -> Edge:
    """Read an edge's database."""
    edge = Edge()
    with closing(_open(path)) as connection:
        edge.events = connection.execute("select count(*) from log").fetchone()[0]
        for node_id, sku, share in connection.execute(
            "select node_id, sku, share from cells where share <> 0"
        ):
            edge.shares[node_id, sku] = share
    return edge


def held(central: Central) -> Iterator[tuple[Cell, Account, int]]:
    """Every account with the sum of its shares."""
    sums: Counter[Cell] = Counter()
    for shares in central.shares.values():
        sums.update(shares)
    for cell, account in central.accounts.items():
        yield cell, account, sums[cell]


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
