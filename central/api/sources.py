"""What others know: an order's story, what systems believe, how devices are. The seam to them.

Each function is called in one transaction.
"""

from datetime import datetime
from typing import Any

from central import queries
from central.agreement import rate
from central.api import answers, resources
from central.database import Database
from central.systems import Systems
from shared.envelope import decode_event
from shared.errors import PointsmanError


def timeline(db: Database, order_id: str) -> answers.Timeline:
    """What happened to an order: its entries in the ledger, by hybrid clock.

    Raises:
        ProblemError: there is no such order.
    """
    resources.known(db, order_id)
    rows = queries.entries_of(db, order_id, rows_max=resources.PARTS_MAX + 1)
    steps = [_step(row) for row in rows[: resources.PARTS_MAX]]
    steps.sort(key=lambda x: (x.hlc or "", x.position))
    return answers.Timeline(
        order_id=order_id, steps=steps, complete=len(rows) <= resources.PARTS_MAX
    )


def why(db: Database, order_id: str, now_ms: int) -> answers.Why:
    """What keeps an order: lines that wait, tasks that are late, exceptions.

    Raises:
        ProblemError: there is no such order.
    """
    found = resources.order(db, order_id, now_ms)
    findings = [
        answers.Finding(
            code=f"waits_{x.reason}", detail=f"{x.units} x {x.sku} of line {x.line}",
            who=x.nodes or [x.edge_id], since=None,
        )
        for x in found.waiting
    ]  # fmt: skip
    findings += [
        answers.Finding(
            code="late_task", detail=f"task {x.task_id} is {x.state}",
            who=[x.node_id] if x.node_id else [], since=x.promised_at,
        )
        for x in found.tasks
        if x.late
    ]  # fmt: skip
    findings += [
        answers.Finding(
            code=x.code, detail=x.detail, who=[x.edge_id] if x.edge_id else [], since=x.noted_at
        )
        for x in found.exceptions
    ]
    about = found.order
    return answers.Why(
        order_id=order_id, state=about.state, since=about.changed_at, findings=findings
    )


def agreement(db: Database, systems: Systems) -> answers.AgreementList:
    """How far each system that has words for states agrees."""
    rates = [rate(db, system, words) for system, words in sorted(systems.words.items())]
    return answers.AgreementList(
        items=[
            answers.Agreement(system=x.system, told=x.orders, differing=x.differing) for x in rates
        ]
    )


def devices(db: Database) -> answers.DeviceList:
    """Every device that is known. No edge reports its devices yet."""
    return answers.DeviceList(items=[])


def _step(row: Any) -> answers.Step:
    try:
        at: datetime | None = decode_event(row.raw).time
    except PointsmanError:
        at = None
    kind = row.type and row.type.removeprefix("pointsman.").removesuffix(".v1")
    return answers.Step(
        at=at,
        kind=kind,
        source=row.source,
        event_id=row.event_id,
        caused_by=row.causation_id,
        edge_id=row.edge_id,
        position=row.position,
        hlc=row.hlc,
    )
