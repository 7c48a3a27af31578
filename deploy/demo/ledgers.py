"""Reads the stopped databases: plain sqlite3, read-only, and the raw JSON of their events.

Nothing of the daemons' own code is used, so that a fault there cannot hide itself here.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy.demo.reroutes import Reroutes

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
        states: task id to the state that central has it in.
        shipped: task id to how often the ledger has it shipped.
        shares: edge id to cell to units.
        streams: edge id to how many events of it the ledger has.
        found: events that hold the word that was looked for.
        exceptions: what central noted, by code, and the events that it could not read.
        reroutes: what became of picks that failed.
    """

    events: int = 0
    exceptions: Counter[str] = field(default_factory=Counter)
    streams: Counter[str] = field(default_factory=Counter)
    states: dict[str, str] = field(default_factory=dict)
    reroutes: Reroutes = field(default_factory=Reroutes)
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
        for edge_id, raw in connection.execute("select edge_id, raw from ledger order by position"):
            event: dict[str, Any] = json.loads(raw)
            central.events += 1
            central.streams[edge_id] += 1
            central.reroutes.note(event)
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
        central.states.update(connection.execute("select task_id, state from tasks"))
        for table in ("poison", "exceptions"):
            rows = connection.execute(f"select code, count(*) from {table} group by code")  # noqa: S608
            central.exceptions.update(dict(rows))
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


@dataclass(frozen=True, slots=True)
class Standing:
    """How far everything is, read beside running daemons.

    Attributes:
        logged: edge id to the end of its own log.
        taken: edge id to how far the ledger has it.
        issued: tasks that no warehouse has accepted.
        apart: shares that central and the edge do not agree about.
    """

    logged: dict[str, int]
    taken: dict[str, int]
    issued: int
    apart: int

    def settled(self) -> bool:
        """Whether nothing is on its way any more."""
        behind = any(self.taken.get(name, 0) < end for name, end in self.logged.items())
        return not (behind or self.issued or self.apart)


def read_standing(central_path: Path, edge_paths: Mapping[str, Path]) -> Standing:
    """Look how far everything is."""
    logged: dict[str, int] = {}
    apart = 0
    with closing(_open(central_path)) as central:
        taken = dict(
            central.execute("select edge_id, max(sequence) from ledger group by edge_id").fetchall()
        )
        (issued,) = central.execute("select count(*) from tasks where state = 'issued'").fetchone()
        for edge_id, path in edge_paths.items():
            granted = central.execute(
                "select node_id, sku, units from shares where units <> 0 and edge_id = ?", [edge_id]
            ).fetchall()
            with closing(_open(path)) as edge:
                (logged[edge_id],) = edge.execute(
                    "select coalesce(max(position), 0) from log"
                ).fetchone()
                held_there = edge.execute("select node_id, sku, share from cells where share <> 0")
                apart += len(set(granted) ^ set(held_there))
    return Standing(logged, taken, issued, apart)


def integrity(path: Path) -> str:
    """What SQLite finds wrong with a file; "ok" if nothing."""
    with closing(_open(path)) as connection:
        rows = connection.execute("pragma integrity_check").fetchall()
    return "; ".join(text for (text,) in rows)


def held(central: Central) -> Iterator[tuple[Cell, Account, int]]:
    """Every account with the sum of its shares."""
    sums: Counter[Cell] = Counter()
    for shares in central.shares.values():
        sums.update(shares)
    for cell, account in central.accounts.items():
        yield cell, account, sums[cell]


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
