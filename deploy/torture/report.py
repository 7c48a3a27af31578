"""The verdict: the tills' own record and the warehouses' shelves against the ledger."""

import os
import platform
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.table import Table

from deploy.demo.counts import count_orders, count_stock, count_tasks, spread
from deploy.demo.ledgers import Central, Edge
from deploy.demo.records import TillRecord, WarehouseRecord
from deploy.torture.journal import Line
from deploy.torture.plan import Figures, plan

_NORMAL = frozenset({"wrong_state", "overloaded", "storage_failed", "no_network"})
"""Refusals of a normal life: a task was withdrawn before the edge read the report; "not now"."""


@dataclass(slots=True)
class Circumstances:
    """What else belongs into the report.

    Attributes:
        happened: faults by kind.
        unsettled: what was not in the ledger or not applied in time; empty if everything was.
        verified: what `pointsman central verify` said; empty if it found a fault.
        integrity: database to what SQLite finds wrong with it.
        exit_codes: of the daemons at the end.
        repeated: reports that warehouses told again.
        lines_broken: connections to central that ended by a fault of the line.
    """

    seed: int
    figures: Figures
    brokers: str = ""
    happened: Counter[str] = field(default_factory=Counter)
    unsettled: str = ""
    verified: str = ""
    integrity: dict[str, str] = field(default_factory=dict)
    exit_codes: dict[str, int | None] = field(default_factory=dict)
    repeated: int = 0
    lines_broken: int = 0
    durations_s: dict[str, float] = field(default_factory=dict)


def count(
    journal: list[Line],
    tills: TillRecord,
    warehouses: WarehouseRecord,
    central: Central,
    edges: dict[str, Edge],
    around: Circumstances,
) -> dict[str, Any]:
    """The whole report, ready for JSON."""
    receipts = tills.receipts
    noted = Counter((line.source, line.event_id) for line in journal)
    orders = count_orders(receipts, central)
    report = {
        "seed": around.seed,
        "figures": asdict(around.figures),
        "happened": {kind: around.happened[kind] for kind in sorted(around.happened)},
        "payments": {
            "begun": len(receipts),
            "noted_by_tills": len(noted),
            "sent": sum(x.sends for x in receipts),
            "in_ledger": len(central.payments),
            "lost": sum(1 for key in noted if central.payments[key] < 1)
            + sum(1 for line in journal if central.orders[line.order_id] < 1),
            "doubled": sum(1 for times in central.payments.values() if times > 1)
            + sum(1 for times in central.orders.values() if times > 1),
            "unknown": len(central.payments.keys() - noted.keys()),
            "answered_differently": orders["answered_differently"],
            "parked": orders["parked"],
            "cancelled": orders["cancelled"],
            "accept_ms": spread(x.accept_ms for x in receipts if x.accept_ms is not None),
        },
        "stock": count_stock(receipts, warehouses, central, edges),
        "tasks": count_tasks(warehouses, central),
        "reroutes": central.reroutes.count(),
        "exceptions": dict(central.exceptions),
        "refusals": dict(Counter(x.code for x in (*tills.refusals, *warehouses.refusals))),
        "contacts_in_ledger": central.found,
        "reports_repeated": around.repeated,
        "lines_broken": around.lines_broken,
        "events": {"ledger": central.events, "edges": {k: x.events for k, x in edges.items()}},
        "unsettled": around.unsettled,
        "ledger": around.verified,
        "integrity": around.integrity,
        "exit_codes": around.exit_codes,
        "brokers": around.brokers,
        "durations_s": around.durations_s,
        "machine": {
            "system": platform.platform(),
            "processors": len(os.sched_getaffinity(0)),
            "python": platform.python_version(),
        },
    }
    report["failures"] = failures(report)
    return report


def failures(report: dict[str, Any]) -> list[str]:
    """What breaks a promise; empty is what exit code 0 means."""
    payments, stock, tasks = report["payments"], report["stock"], report["tasks"]
    refused = {code: times for code, times in report["refusals"].items() if code not in _NORMAL}
    wanted = _faults(report["figures"])
    checks = {
        "payments were lost": payments["lost"] > 0,
        "payments were doubled": payments["doubled"] > 0,
        "the ledger has payments that no till knows": payments["unknown"] > 0,
        "payments without an answer": payments["noted_by_tills"] != payments["begun"],
        "a payment sent twice got two answers": payments["answered_differently"] > 0,
        "cells were oversold": stock["oversold"] + stock["overdrawn"] > 0,
        "units appeared or vanished": not stock["conserved"],
        "tasks were lost": tasks["lost"] > 0,
        "warehouses have tasks that the ledger does not": tasks["unknown"] > 0,
        "tasks were shipped twice": tasks["duplicated"] > 0,
        "tasks are not where the warehouses have them": tasks["unlike"] > 0,
        f"central noted exceptions: {report['exceptions']}": bool(report["exceptions"]),
        f"devices were refused: {refused}": bool(refused),
        "contact details stand in the ledger": report["contacts_in_ledger"] > 0,
        f"it did not come to rest: {report['unsettled']}": bool(report["unsettled"]),
        "the ledger's chain is broken": not report["ledger"],
        f"a database is damaged: {report['integrity']}": set(report["integrity"].values())
        != {"ok"},
        f"a daemon ended badly: {report['exit_codes']}": any(report["exit_codes"].values()),
        "not everything that was asked for has happened": report["happened"] != wanted
        or payments["begun"] != report["figures"]["payments"],
    }
    return [text for text, failed in checks.items() if failed]


def table(report: dict[str, Any]) -> Table:
    """The report for people."""
    payments, stock, tasks = report["payments"], report["stock"], report["tasks"]
    reroutes, faults = report["reroutes"], report["happened"]
    found = Table("", "", title=f"Torture, seed {report['seed']}", show_header=False)
    found.add_row(
        "faults", ", ".join(f"{count} × {kind}" for kind, count in faults.items()) or "none"
    )
    found.add_row(
        "payments",
        f"{payments['begun']} begun, sent {payments['sent']} times, "
        f"{payments['noted_by_tills']} noted by the tills, {payments['in_ledger']} in the ledger; "
        f"{payments['parked']} had to wait, {payments['cancelled']} cancelled",
    )
    found.add_row(
        "accept", "p50 {p50} ms, p99 {p99} ms, max {max} ms".format(**payments["accept_ms"])
    )
    found.add_row(
        "tasks",
        f"{tasks['issued']} issued, {tasks['shipped']} shipped, {tasks['rejected']} rejected, "
        f"{tasks['short']} short, {tasks['withdrawn']} withdrawn; "
        f"{tasks['repeats_recognised']} came again, {report['reports_repeated']} reports repeated",
    )
    found.add_row(
        "failed picks",
        f"{reroutes['picks']}: {reroutes['rerouted']} found another node at once, "
        f"{reroutes['partly']} in part, {reroutes['parked']} had to wait",
    )
    found.add_row("ledger", f"{report['events']['ledger']} events; {report['ledger'] or 'BROKEN'}")
    found.add_section()
    found.add_row("lost", str(payments["lost"] + tasks["lost"]))
    found.add_row("doubled", str(payments["doubled"] + tasks["duplicated"]))
    found.add_row("oversold", f"{stock['oversold'] + stock['overdrawn']} of {stock['cells']} cells")
    found.add_row(
        "conserved",
        f"{stock['loaded_units']} units loaded, {stock['shipped_units']} shipped, "
        f"{stock['broken_units']} broken: {'all there' if stock['conserved'] else 'NO'}",
    )
    found.add_row("exceptions", str(report["exceptions"] or "none"))
    found.add_row("databases", ", ".join(f"{k} {x}" for k, x in report["integrity"].items()))
    found.add_row("time", f"{report['durations_s'].get('counted', 0) / 60:.1f} min")
    for text in report["failures"]:
        found.add_row("[bold red]failed[/]", text)
    return found


def _faults(figures: dict[str, int]) -> dict[str, int]:
    """Faults by kind that the figures ask for."""
    return dict(sorted(Counter(x.kind for x in plan(0, Figures(**figures))).items()))
