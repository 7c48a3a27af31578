"""The report: counted from the devices' own records and from the stopped databases.

Whoever is judged here, edge and central, has no hand in the counting.
"""

import os
import platform
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from deploy.demo.ledgers import Cell, Central, Edge, held
from deploy.demo.records import Receipt, TillRecord, WarehouseRecord

ROUTE_MS_MAX: Final = 200.0


@dataclass(slots=True)
class Cut:
    """When an edge had no WAN: real milliseconds since 1970."""

    edge_id: str
    from_ms: float = 0
    to_ms: float = 0
    simulated_h: float = 0
    turned_away: int = 0


@dataclass(slots=True)
class Circumstances:
    """What else belongs into the report."""

    day: str = ""
    brokers: str = ""
    rate: float = 0
    late_start_s: float = 0
    drained: bool = True
    exit_codes: dict[str, int | None] = field(default_factory=dict)
    durations_s: dict[str, float] = field(default_factory=dict)


def count(
    tills: TillRecord,
    warehouses: WarehouseRecord,
    central: Central,
    edges: dict[str, Edge],
    cut: Cut | None = None,
    circumstances: Circumstances | None = None,
) -> dict[str, Any]:
    """The whole report, ready for JSON."""
    around = circumstances or Circumstances()
    receipts = tills.receipts
    report = {
        "day": around.day,
        "orders": _orders(receipts, central),
        "stock": _stock(receipts, warehouses, central, edges),
        "tasks": _tasks(warehouses, central),
        "quote_ms": spread(x.quote_ms for x in receipts if x.quote_ms is not None),
        "accept_ms": spread(x.accept_ms for x in receipts if x.accept_ms is not None),
        "own_stall_ms_max": round(max(tills.stalls_ms, default=0.0), 3),
        "unanswered": sum((x.quote_ms is None) + (x.accept_ms is None) for x in receipts),
        "promise": _promise(receipts, warehouses),
        "refusals": dict(
            Counter(refusal.code for refusal in (*tills.refusals, *warehouses.refusals))
        ),
        "contacts_in_ledger": central.found,
        "amiss": central.amiss,
        "events": {
            "ledger": central.events,
            "edge_logs": sum(edge.events for edge in edges.values()),
        },
        "wan_cut": None if cut is None else _cut(receipts, cut),
        "brokers": around.brokers,
        "rate": around.rate,
        "late_start_s": around.late_start_s,
        "drained": around.drained,
        "exit_codes": around.exit_codes,
        "machine": {
            "system": platform.platform(),
            "processors": len(os.sched_getaffinity(0)),
            "python": platform.python_version(),
        },
        "durations_s": around.durations_s,
    }
    report["failures"] = failures(report)
    return report


def failures(report: dict[str, Any]) -> list[str]:
    """What breaks a promise; empty is what exit code 0 means."""
    orders, stock, tasks = report["orders"], report["stock"], report["tasks"]
    checks = {
        "orders were lost": orders["lost"] > 0,
        "the ledger has orders that no till knows": orders["unknown"] > 0,
        "central noted exceptions, or events that it could not read": report["amiss"] > 0,
        "orders are in the ledger twice": orders["duplicated"] > 0,
        "a payment sent twice got two answers": orders["answered_differently"] > 0,
        "payments without an order": orders["sent"] != orders["accepted"],
        "tasks were lost": tasks["lost"] > 0,
        "tasks were shipped twice": tasks["duplicated"] > 0,
        "cells were oversold": stock["oversold"] > 0,
        "units appeared or vanished": not stock["conserved"],
        "questions or payments without an answer": report["unanswered"] > 0,
        # A payment's answer waits for the disk besides, which no program can promise for.
        f"a route answer took over {ROUTE_MS_MAX:.0f} ms": report["quote_ms"]["max"] > ROUTE_MS_MAX,
        "contact details stand in the ledger": report["contacts_in_ledger"] > 0,
        "not everything arrived in time": not report["drained"],
        "a daemon ended badly": any(report["exit_codes"].values()),
    }
    return [text for text, failed in checks.items() if failed]


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


def _orders(receipts: list[Receipt], central: Central) -> dict[str, int]:
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


def _stock(
    receipts: list[Receipt],
    warehouses: WarehouseRecord,
    central: Central,
    edges: dict[str, Edge],
) -> dict[str, Any]:
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
        "conserved": not (shelves_wrong or accounts_wrong or truth_wrong or shares_wrong),
        "shelves_wrong": len(shelves_wrong),
        "accounts_wrong": len(accounts_wrong),
        "accounts_unlike_shelves": len(truth_wrong),
        "shares_unlike_central": shares_wrong,
    }


def _tasks(warehouses: WarehouseRecord, central: Central) -> dict[str, int]:
    delivered = {job.task_id for job in warehouses.jobs}
    states = Counter(job.state for job in warehouses.jobs)
    return {
        "issued": len(central.tasks),
        "delivered": len(delivered),
        "lost": len(central.tasks.keys() - delivered),
        "duplicated": sum(1 for times in central.shipped.values() if times > 1),
        "repeats_recognised": sum(job.seen - 1 for job in warehouses.jobs),
        "shipped": sum(1 for job in warehouses.jobs if job.shipped_ms is not None),
        "handed_over": states["package.delivered"],
        "rejected": states["pick.rejected"],
        "short": sum(1 for job in warehouses.jobs if job.missing),
        "withdrawn": states["withdrawn"],
    }


def _promise(receipts: list[Receipt], warehouses: WarehouseRecord) -> dict[str, Any]:
    packages = [(x.deadline_ms, p) for x in receipts for p in x.packages]
    dated = [(deadline, p) for deadline, p in packages if deadline is not None]
    shipped = [job for job in warehouses.jobs if job.shipped_ms is not None]
    in_time = sum(
        1 for job in shipped if job.shipped_ms is not None and job.shipped_ms <= job.ready_ms
    )
    return {
        "packages_with_deadline": len(dated),
        "within_deadline": _share(sum(p.arrives_ms <= end for end, p in dated), len(dated)),
        "packages_shipped": len(shipped),
        "shipped_by_ready_at": _share(in_time, len(shipped)),
    }


def _cut(receipts: list[Receipt], cut: Cut) -> dict[str, Any]:
    within = [
        x
        for x in receipts
        if x.edge_id == cut.edge_id and cut.from_ms <= x.asked_at_ms and x.paid_at_ms <= cut.to_ms
    ]
    return {
        "edge_id": cut.edge_id,
        "simulated_h": round(cut.simulated_h, 2),
        "real_s": round((cut.to_ms - cut.from_ms) / 1000, 2),
        "reconnects_turned_away": cut.turned_away,
        "orders_sent": len(within),
        "orders_answered": sum(1 for x in within if x.order_id is not None),
        "quote_ms": spread(x.quote_ms for x in within if x.quote_ms is not None),
        "accept_ms": spread(x.accept_ms for x in within if x.accept_ms is not None),
    }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
