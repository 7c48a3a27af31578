"""What others know: an order's story, what systems believe, how devices are. The seam to them.

Each function is called in one transaction.
"""

from operator import attrgetter
from typing import Final

from central import queries
from central.agreement import differences as differences_of
from central.agreement import rate
from central.api import answers, asked, pages, resources
from central.api.asked import given
from central.api.problems import not_found
from central.database import Database
from central.devices import DeviceState
from central.systems import Systems
from central.tracing import Inquiry
from shared.clock import to_datetime
from shared.errors import UnknownOrderError
from shared.masking import masked

FAULTS_MAX: Final = 100
"""Of one device, in an answer."""


def timeline(db: Database, inquiry: Inquiry, order_id: str) -> answers.Timeline:
    """What happened to an order.

    Raises:
        ProblemError: there is no such order.
    """
    resources.known(db, order_id)
    try:
        story = inquiry.timeline(db, order_id)
    except UnknownOrderError:
        raise not_found(f"event of order {order_id}", "order_id") from None
    most = resources.PARTS_MAX
    parts = (story.lines, story.tasks, story.waiting, story.steps)
    return answers.Timeline(
        order_id=order_id,
        state=story.state,
        lifecycle=story.lifecycle,
        edge_id=story.edge_id,
        store_id=story.store_id,
        sold_by=story.sold_by,
        opened_at=story.opened_at,
        promised_at=story.promised_at,
        lines=story.lines[:most],
        tasks=story.tasks[:most],
        waiting=story.waiting[:most],
        waiting_step=story.waiting_step,
        steps=story.steps[:most],
        complete=not story.archived and all(len(part) <= most for part in parts),
        archived=story.archived[-most:],
    )


def why(db: Database, inquiry: Inquiry, order_id: str, now_ms: int) -> answers.Why:
    """Where an order is stuck, since when, on whom, by what evidence; or what comes next.

    Raises:
        ProblemError: there is no such order.
    """
    resources.known(db, order_id)
    try:
        story, found = inquiry.why(db, order_id, now_ms)
    except UnknownOrderError:
        raise not_found(f"event of order {order_id}", "order_id") from None
    return answers.Why(
        order_id=order_id,
        state=found.state,
        stuck=found.stuck,
        what=found.what,
        since=found.since,
        by=found.by,
        reasons=found.reasons[: resources.PARTS_MAX],
        next=found.next,
        next_by=found.next_by,
        archived=story.archived[-resources.PARTS_MAX :],
    )


def agreement(db: Database, systems: Systems, wanted: asked.Systems) -> answers.AgreementList:
    """How far each system that has words for states agrees."""
    only = given(wanted.system)
    rates = [
        rate(db, system, words)
        for system, words in sorted(systems.words.items())
        if only in (None, system)
    ]
    return answers.AgreementList(
        items=[
            answers.Agreement(
                system=x.system, told=x.orders, differing=x.differing, unknown_words=x.unknown
            )
            for x in rates
        ]
    )


def differences(
    db: Database, systems: Systems, wanted: asked.Differences
) -> answers.DifferencePage:
    """A page of the orders of which systems believe something else."""
    only, (begin, after) = given(wanted.system), pages.pair_key(wanted) or ("", "")
    found: list[answers.Difference] = []
    for system, words in sorted(systems.words.items()):
        rest = wanted.limit + 1 - len(found)
        if system < begin or only not in (None, system) or not rest:
            continue
        after = after if system == begin else ""
        found += [
            answers.Difference(
                system=system, order_id=x.order_id, word=x.word, state=x.state,
                since=to_datetime(x.since_ms),
            )
            for x in differences_of(db, system, words, after=after, rows_max=rest)
        ]  # fmt: skip
    page, following = pages.cut(found, wanted, attrgetter("system", "order_id"))
    return answers.DifferencePage(items=list(page), next=following)


def devices(db: Database, wanted: asked.Devices) -> answers.DevicePage:
    """A page of devices, each with its faults."""
    found = queries.page_of_devices(
        db,
        edge_id=given(wanted.edge_id),
        node_id=given(wanted.node_id),
        status=given(wanted.status),
        after=pages.pair_key(wanted),
        rows_max=wanted.limit + 1,
    )
    page, following = pages.cut(found, wanted, lambda rows: (rows[0].edge_id, rows[0].device))
    return answers.DevicePage(items=[_device(rows) for rows in page], next=following)


def _device(rows: list[DeviceState]) -> answers.Device:
    own = next((x for x in rows if not x.fault), None)
    faults = [x for x in rows if x.fault]
    seen_ms = None if own is None else own.last_seen_ms
    return answers.Device(
        edge_id=rows[0].edge_id,
        device=rows[0].device,
        node_id=next((x.node_id for x in rows if x.node_id is not None), None),
        status="unknown" if own is None or own.status == "fault" else own.status,
        since=None if own is None else to_datetime(own.since_ms),
        last_seen_at=None if seen_ms is None else to_datetime(seen_ms),
        detail="" if own is None else masked(own.detail),
        faults=[
            answers.DeviceFault(
                part=x.part, code=x.fault, since=to_datetime(x.since_ms), detail=masked(x.detail)
            )
            for x in faults[:FAULTS_MAX]
        ],
    )
