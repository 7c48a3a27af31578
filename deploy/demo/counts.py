"""What is counted: the devices' own records held against the stopped databases.

Whoever is judged here, edge and central, has no hand in the counting. The demo's day and the
torture count the same.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

from deploy.demo.ledgers import Cell, Central, Edge, held
from deploy.demo.records import Receipt, WarehouseRecord

_STATES: Final = {
    "issued": "issued",
    "pick.accepted": "accepted",
    "pick.short": "accepted",  # and nothing is left of it: a short pick is no state
    "pick.completed": "completed",
    "package.packed": "packed",
    "package.shipped": "shipped",
    "package.delivered": "delivered",
    "pick.rejected": "rejected",
    "withdrawn": "withdrawn",
}
"""A warehouse's word for how far a task is to central's."""


def count_orders(receipts: list[Receipt], central: Central) -> dict[str, int]:
    """The tills' orders against the ledger's."""
    accepted = [x for x in receipts if x.order_id is not None]
    lost = [x for x in accepted if not central.payments[x.source, x.event_id]]
    return {
        "sent": len(receipts),
        "accepted": len(accepted),
        "parked": sum(1 for x in accepted if x.parked),
        "in_ledger": len(central.orders),
        "lost": len(lost),
        "duplicated": sum(1 for times in central.payments.values() if times > 1),
        "unknown": len(central.payments) - (len(accepted) - len(lost)),
        "splits": sum(1 for x in accepted if len({p.node_id for p in x.packages}) > 1),
        "packages": sum(len(x.packages) for x in accepted),
        "optimal": sum(1 for x in accepted if x.optimal),
        "sent_twice": sum(1 for x in accepted if x.again),
        "answered_differently": sum(1 for x in accepted if x.same_answer is False),
        "retried_planned": sum(1 for x in accepted if x.planned_later),
        "cancelled": sum(1 for x in accepted if x.cancellations),
        "cancelled_units": sum(x.released + x.unparked for x in accepted),
        "cancelled_too_late_units": sum(x.too_late for x in accepted),
    }


def count_stock(
    receipts: list[Receipt],
    warehouses: WarehouseRecord,
    central: Central,
    edges: dict[str, Edge],
) -> dict[str, Any]:
    """The shelves against the accounts, and the edges' shares against central's."""
    carried: Counter[Cell] = Counter()
    for receipt in receipts:
        if receipt.fulfilment == "carry_out":
            for package in receipt.packages:
                for line in package.lines:
                    carried[package.node_id, line.sku] += line.quantity
    asked, out, boxed = Counter(carried), Counter(carried), Counter[Cell]()
    for job in warehouses.jobs:
        for line in job.lines if job.state not in ("pick.rejected", "withdrawn") else []:
            asked[job.node_id, line.sku] += line.quantity
        for line in job.shipped:
            (boxed if job.shipped_ms is None else out)[job.node_id, line.sku] += line.quantity
    loaded: Counter[Cell] = Counter()
    gone: Counter[Cell] = Counter()
    left: Counter[Cell] = Counter()
    for node_id, shelves in warehouses.shelves.items():
        for sku, units in shelves.loaded.items():
            loaded[node_id, sku] += units
        for units_of in (shelves.broken, shelves.sent):
            for sku, units in units_of.items():
                gone[node_id, sku] += units
        for sku, units in shelves.left.items():
            # People carry goods out through the shop's door, not through the warehouse.
            left[node_id, sku] += units - carried[node_id, sku]
    sent: Counter[Cell] = Counter()
    for node_id, shelves in warehouses.shelves.items():
        for sku, units in shelves.sent.items():
            sent[node_id, sku] += units
    cells = loaded.keys() | asked.keys() | out.keys()
    oversold = [cell for cell in cells if asked[cell] > loaded[cell] - sent[cell] or left[cell] < 0]
    shelves_wrong = [
        cell for cell in cells if loaded[cell] != left[cell] + out[cell] + boxed[cell] + gone[cell]
    ]
    accounts_wrong = [
        cell
        for cell, x, shares in held(central)
        if x.pool + shares + x.committed + x.shipped != x.received - x.adjusted
    ]
    overdrawn = [
        cell
        for cell, x, shares in held(central)
        if x.pool < 0 or shares < 0 or x.committed + x.shipped > x.received - x.adjusted
    ]
    known = {cell: (x.received, x.adjusted, x.shipped) for cell, x, _ in held(central)}
    truth_wrong = [
        cell
        for cell in cells | known.keys()
        if known.get(cell, (0, 0, 0)) != (loaded[cell], gone[cell], out[cell])
    ]
    shares_wrong = sum(
        len(central.shares.get(edge_id, {}).items() ^ edge.shares.items())
        for edge_id, edge in edges.items()
    )
    return {
        "cells": len(cells),
        "loaded_units": sum(loaded.values()),
        "shipped_units": sum(out.values()),
        "broken_units": sum(sum(x.broken.values()) for x in warehouses.shelves.values()),
        "oversold": len(oversold),
        "overdrawn": len(overdrawn),
        "conserved": not (shelves_wrong or accounts_wrong or truth_wrong or shares_wrong),
        "shelves_wrong": len(shelves_wrong),
        "accounts_wrong": len(accounts_wrong),
        "accounts_unlike_shelves": len(truth_wrong),
        "shares_unlike_central": shares_wrong,
    }


def count_tasks(warehouses: WarehouseRecord, central: Central) -> dict[str, int]:
    """The warehouses' tasks against the ledger's."""
    delivered = {job.task_id for job in warehouses.jobs}
    states = Counter(job.state for job in warehouses.jobs)
    # Withdrawn before it came: nobody had to hear of it.
    wanted = {x for x in central.tasks if central.states.get(x) != "withdrawn"}
    return {
        "issued": len(central.tasks),
        "delivered": len(delivered),
        "lost": len(wanted - delivered),
        "unknown": len(delivered - central.tasks.keys()),
        "unlike": sum(
            1 for job in warehouses.jobs if central.states.get(job.task_id) != _STATES[job.state]
        ),
        "duplicated": sum(1 for times in central.shipped.values() if times > 1),
        "repeats_recognised": sum(job.seen - 1 for job in warehouses.jobs),
        "shipped": sum(1 for job in warehouses.jobs if job.shipped_ms is not None),
        "handed_over": states["package.delivered"],
        "rejected": states["pick.rejected"],
        "short": sum(1 for job in warehouses.jobs if job.missing),
        "withdrawn": states["withdrawn"],
    }


def spread(values: Iterable[float]) -> dict[str, float]:
    """Median, 99th percentile (nearest rank) and maximum, in milliseconds."""
    ordered = sorted(values)
    return {
        "p50": _rank(ordered, 0.50),
        "p99": _rank(ordered, 0.99),
        "max": _rank(ordered, 1.0),
    }


def _rank(ordered: Sequence[float], share: float) -> float:
    if not ordered:
        return 0.0
    return round(ordered[max(0, -(-int(share * 100) * len(ordered) // 100) - 1)], 3)
