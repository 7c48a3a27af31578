"""What the API answers, made of rows. Each function is called in one transaction.

What others know of an order, of systems and of devices is in `central.api.sources`.
"""

from collections.abc import Iterable
from datetime import datetime
from operator import attrgetter
from typing import Any, Final

import msgspec
from msgspec import UnsetType

from central import queries
from central.api import answers, asked, pages
from central.api.asked import flag, given
from central.api.entries import entry_of
from central.api.problems import ProblemError, not_found
from central.checkpoint import Checkpoint
from central.database import Database
from central.history import Archived, load_archives
from central.ledger import last_checkpoint, last_position
from shared.clock import to_datetime, to_ms
from shared.tasks import UNSHIPPED

PARTS_MAX: Final = 1_000
"""Of each kind, in an answer about one thing."""


# Orders.


def orders(db: Database, wanted: asked.Orders) -> answers.OrderPage:
    """A page of orders."""
    rows = queries.page_of_orders(
        db,
        state=given(wanted.state),
        store_id=given(wanted.store_id),
        edge_id=given(wanted.edge_id),
        promised_before_ms=_ms(wanted.promised_before),
        promised_after_ms=_ms(wanted.promised_after),
        changed_since_ms=_ms(wanted.changed_since),
        has_exceptions=flag(wanted.has_exceptions),
        before=pages.text_key(wanted),
        rows_max=wanted.limit + 1,
    )
    page, following = pages.cut(rows, wanted, attrgetter("order_id"))
    return answers.OrderPage(items=[_order(row) for row in page], next=following)


def order(db: Database, order_id: str, now_ms: int) -> answers.OrderDetail:
    """One order, with all that belongs to it.

    Raises:
        ProblemError: there is none.
    """
    row = known(db, order_id)
    tasks = queries.page_of_tasks(db, order_id=order_id, rows_max=PARTS_MAX)
    noted = queries.page_of_exceptions(db, order_id=order_id, rows_max=PARTS_MAX)
    return answers.OrderDetail(
        order=_order(row),
        tasks=[_task(x, now_ms) for x in reversed(tasks)],
        waiting=[_waiting(x) for x in queries.waiting_of(db, order_id, PARTS_MAX)],
        exceptions=[_exception(x) for x in reversed(noted)],
    )


def events(db: Database, wanted: asked.Entries, *, whole: bool) -> answers.EntryPage:
    """A page of an order's entries in the ledger.

    Raises:
        ProblemError: there is no such order.
    """
    known(db, wanted.order_id)
    after = pages.number_key(wanted) or 0
    rows = queries.entries_of(db, wanted.order_id, after=after, rows_max=wanted.limit + 1)
    page, following = pages.cut(rows, wanted, attrgetter("position"))
    return answers.EntryPage(items=[entry_of(row, whole=whole) for row in page], next=following)


def known(db: Database, order_id: str) -> Any:
    """The row of an order.

    Raises:
        ProblemError: there is none.
    """
    row = queries.order(db, order_id)
    if row is None:
        raise not_found(f"order {order_id}", "order_id")
    return row


# What hangs on orders.


def tasks(db: Database, wanted: asked.Tasks, now_ms: int) -> answers.TaskPage:
    """A page of tasks; `late=false` asks for no other than no filter does."""
    rows = queries.page_of_tasks(
        db,
        state=given(wanted.state),
        node_id=given(wanted.node_id),
        order_id=given(wanted.order_id),
        late_at_ms=now_ms if flag(wanted.late) else None,
        before=pages.text_key(wanted),
        rows_max=wanted.limit + 1,
    )
    page, following = pages.cut(rows, wanted, attrgetter("task_id"))
    return answers.TaskPage(items=[_task(row, now_ms) for row in page], next=following)


def exceptions(db: Database, wanted: asked.Exceptions) -> answers.ExceptionPage:
    """A page of exceptions."""
    rows = queries.page_of_exceptions(
        db,
        code=given(wanted.code),
        order_id=given(wanted.order_id),
        edge_id=given(wanted.edge_id),
        noted_since_ms=_ms(wanted.noted_since),
        before=pages.number_key(wanted),
        rows_max=wanted.limit + 1,
    )
    page, following = pages.cut(rows, wanted, attrgetter("number"))
    return answers.ExceptionPage(items=[_exception(row) for row in page], next=following)


# Edges, stock, the ledger.


def edges(db: Database, wanted: asked.Page) -> answers.EdgePage:
    """A page of edges."""
    rows = queries.page_of_streams(db, after=pages.text_key(wanted), rows_max=wanted.limit + 1)
    page, following = pages.cut(rows, wanted, attrgetter("edge_id"))
    return answers.EdgePage(items=[_edge(row) for row in page], next=following)


def stock(db: Database, wanted: asked.Stocks) -> answers.StockPage:
    """A page of cells."""
    rows = queries.page_of_accounts(
        db,
        node_id=given(wanted.node_id),
        sku=given(wanted.sku),
        after=pages.pair_key(wanted),
        rows_max=wanted.limit + 1,
    )
    page, following = pages.cut(rows, wanted, attrgetter("node_id", "sku"))
    return answers.StockPage(items=_stocks(db, page), next=following)


def cell(db: Database, node_id: str, sku: str) -> answers.StockDetail:
    """One cell, and what is on its way to it.

    Raises:
        ProblemError: nothing of it was ever there.
    """
    row = queries.account(db, node_id, sku)
    incoming = queries.lots_of(db, node_id, sku, PARTS_MAX)
    if row is None:
        raise not_found(f"stock of {sku} at {node_id}", "sku")
    return answers.StockDetail(
        stock=_stocks(db, [row])[0],
        incoming=[
            answers.Incoming(
                lot_id=x.lot_id, units=x.units, expected_at=to_datetime(x.expected_ms),
                release_per_mille=x.release_per_mille, reason=x.reason,
            )
            for x in incoming
        ],
    )  # fmt: skip


def ledger_state(db: Database) -> answers.LedgerState:
    """How far the ledger is signed, and what of it is in files."""
    files = [_archive(x) for x in reversed(load_archives(db)[-PARTS_MAX:])]
    last = last_position(db)
    signed = last_checkpoint(db)
    if signed is None:
        return answers.LedgerState(
            last_position=last, signed_position=0, checkpoint=None, signed_at=None, hash=None,
            key=None, archives=files,
        )  # fmt: skip
    try:
        body = msgspec.json.decode(signed.body, type=Checkpoint)
    except msgspec.DecodeError:
        raise ProblemError(
            500, "broken_checkpoint", f"checkpoint {signed.number} cannot be read",
            place="checkpoints", expected="what central has signed: run `pointsman central verify`",
        ) from None  # fmt: skip
    return answers.LedgerState(
        last_position=last,
        signed_position=signed.position,
        checkpoint=signed.number,
        signed_at=to_datetime(body.at_ms),
        hash=signed.hash,
        key=body.key,
        archives=files,
    )


# Rows as answers.


def _order(row: Any) -> answers.Order:
    return answers.Order(
        order_id=row.order_id,
        state=row.state,
        edge_id=row.edge_id,
        store_id=row.store_id,
        units=row.units,
        amount_minor=row.amount_minor,
        currency=row.currency,
        cancelled=row.cancelled,
        promised_at=_moment(row.promised_ms),
        opened_at=to_datetime(row.opened_ms),
        changed_at=to_datetime(row.changed_ms),
        exceptions=row.exceptions,
    )


def _task(row: Any, now_ms: int) -> answers.Task:
    late = row.promised_ms is not None and row.promised_ms < now_ms
    return answers.Task(
        task_id=row.task_id,
        order_id=row.order_id,
        node_id=row.node_id,
        home_edge_id=row.home_edge_id,
        service_id=row.service_id,
        state=row.state,
        units=row.units,
        missing=row.missing,
        promised_at=_moment(row.promised_ms),
        changed_at=to_datetime(row.changed_ms),
        late=late and row.state in UNSHIPPED,
    )


def _waiting(row: Any) -> answers.WaitingLine:
    return answers.WaitingLine(
        line=row.line,
        sku=row.sku,
        units=row.units,
        reason=row.reason,
        edge_id=row.edge_id,
        nodes=row.nodes.split(),
    )


def _exception(row: Any) -> answers.OrderException:
    return answers.OrderException(
        number=row.number,
        code=row.code,
        detail=row.detail,
        order_id=row.order_id,
        edge_id=row.edge_id,
        epoch=row.epoch,
        sequence=row.sequence,
        noted_at=to_datetime(row.noted_ms),
    )


def _edge(row: Any) -> answers.Edge:
    return answers.Edge(
        edge_id=row.edge_id,
        epoch=row.epoch,
        sequence=row.sequence,
        head=row.head.hex(),
        last_heard_at=_moment(row.last_seen_ms or None),
        fenced=row.fenced,
        feed_sent=row.feed_next - 1,
        feed_applied=row.feed_acked,
    )


def _stocks(db: Database, rows: Iterable[Any]) -> list[answers.Stock]:
    rows = list(rows)
    shares: dict[tuple[str, str], list[answers.Share]] = {}
    for x in queries.shares_of(db, {(row.node_id, row.sku) for row in rows}):
        share = answers.Share(edge_id=x.edge_id, units=x.units, coming_back=x.coming)
        shares.setdefault((x.node_id, x.sku), []).append(share)
    return [
        answers.Stock(
            node_id=row.node_id,
            sku=row.sku,
            pool=row.pool,
            committed=row.committed,
            shipped=row.shipped,
            received=row.received,
            adjusted=row.adjusted,
            shares=shares.get((row.node_id, row.sku), []),
        )
        for row in rows
    ]


def _archive(x: Archived) -> answers.Archive:
    return answers.Archive(
        number=x.number,
        file=x.file,
        first=x.first,
        last=x.last,
        entries=x.entries,
        sha256=x.sha256,
        moved_at=to_datetime(x.at_ms),
    )


def _moment(ms: int | None) -> datetime | None:
    return None if ms is None else to_datetime(ms)


def _ms(moment: datetime | UnsetType) -> int | None:
    return None if isinstance(moment, UnsetType) else to_ms(moment)
