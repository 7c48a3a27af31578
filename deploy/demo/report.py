"""The report: counted from the devices' own records and from the stopped databases.

Whoever is judged here, edge and central, has no hand in the counting.
"""

import os
import platform
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from deploy.demo.counts import count_orders, count_stock, count_tasks, spread
from deploy.demo.ledgers import Central, Edge
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


@dataclass(frozen=True, slots=True)
class Outage:
    """When nobody could be answered at an edge: real milliseconds since 1970.

    Attributes:
        kind: what was done to it, or to its broker.
        to_ms: when a question was answered again.
    """

    kind: str
    edge_id: str
    from_ms: float
    to_ms: float


@dataclass(slots=True)
class Circumstances:
    """What else belongs into the report."""

    day: str = ""
    brokers: str = ""
    rate: float = 0
    late_start_s: float = 0
    drained: bool = True
    outages: list[Outage] = field(default_factory=list)
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
        "orders": count_orders(receipts, central),
        "stock": count_stock(receipts, warehouses, central, edges),
        "tasks": count_tasks(warehouses, central),
        "quote_ms": spread(_quotes(receipts, around.outages)),
        "accept_ms": spread(_accepts(receipts, around.outages)),
        "own_stall_ms_max": round(max(tills.stalls_ms, default=0.0), 3),
        "unanswered": sum((x.quote_ms is None) + (x.accept_ms is None) for x in receipts),
        "promise": _promise(receipts, warehouses),
        "refusals": dict(
            Counter(refusal.code for refusal in (*tills.refusals, *warehouses.refusals))
        ),
        "contacts_in_ledger": central.found,
        "amiss": sum(central.exceptions.values()),
        "exceptions": dict(central.exceptions),
        "reroutes": central.reroutes.count(),
        "events": {
            "ledger": central.events,
            "edge_logs": sum(edge.events for edge in edges.values()),
        },
        "wan_cut": None if cut is None else _cut(receipts, cut, around.outages),
        "outages": [_outage(receipts, outage) for outage in around.outages],
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
        "tasks are not where the warehouses have them": tasks["unlike"] > 0,
        "cells were oversold": stock["oversold"] + stock["overdrawn"] > 0,
        "units appeared or vanished": not stock["conserved"],
        "questions or payments without an answer": report["unanswered"] > 0,
        # A payment's answer waits for the disk besides, which no program can promise for.
        f"a route answer took over {ROUTE_MS_MAX:.0f} ms": report["quote_ms"]["max"] > ROUTE_MS_MAX,
        "contact details stand in the ledger": report["contacts_in_ledger"] > 0,
        "not everything arrived in time": not report["drained"],
        "a daemon ended badly": any(report["exit_codes"].values()),
    }
    return [text for text, failed in checks.items() if failed]


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


def _cut(receipts: list[Receipt], cut: Cut, outages: list[Outage]) -> dict[str, Any]:
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
        "quote_ms": spread(_quotes(within, outages)),
        "accept_ms": spread(_accepts(within, outages)),
    }


def _outage(receipts: list[Receipt], outage: Outage) -> dict[str, Any]:
    quoted = [x for x in receipts if _met(outage, x, x.asked_at_ms, x.quote_ms)]
    paid = [x for x in receipts if _met(outage, x, x.paid_at_ms, x.accept_ms)]
    waits = [x.quote_ms for x in quoted] + [x.accept_ms for x in paid]
    orders = {x.invoice: x.order_id for x in (*quoted, *paid)}
    return {
        "kind": outage.kind,
        "name": outage.edge_id,
        "real_s": round((outage.to_ms - outage.from_ms) / 1000, 2),
        "orders_sent": len(orders),
        "orders_answered": sum(1 for order_id in orders.values() if order_id is not None),
        "wait_ms_max": round(max((x for x in waits if x is not None), default=0.0), 3),
    }


def _quotes(receipts: list[Receipt], outages: list[Outage]) -> list[float]:
    """Answers to questions that somebody was there to answer."""
    return [
        x.quote_ms
        for x in receipts
        if x.quote_ms is not None
        and not any(_met(o, x, x.asked_at_ms, x.quote_ms) for o in outages)
    ]


def _accepts(receipts: list[Receipt], outages: list[Outage]) -> list[float]:
    """Answers to payments that somebody was there to answer."""
    return [
        x.accept_ms
        for x in receipts
        if x.accept_ms is not None
        and not any(_met(o, x, x.paid_at_ms, x.accept_ms) for o in outages)
    ]


def _met(outage: Outage, receipt: Receipt, sent_at_ms: float, took_ms: float | None) -> bool:
    """Whether what a till sent was under way while its edge, or its broker, was dead."""
    if receipt.edge_id != outage.edge_id or sent_at_ms > outage.to_ms:
        return False
    return took_ms is None or sent_at_ms + took_ms >= outage.from_ms


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
