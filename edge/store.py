"""The edge's one SQLite file, and its one connection.

SQLite up to 3.51.2 can corrupt a WAL when two connections write or checkpoint at once, so
nothing else ever opens the file for writing. `synchronous=FULL`: a commit that has returned
survives a power cut.
"""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from edge.archive import Archive
from edge.failures import Failure
from edge.quarantine import excerpt
from edge.records import Answer, Decision, Order, Task
from shared.clock import to_ms
from shared.envelope import Event, decode_event, encode_event
from shared.errors import PointsmanError
from shared.events import PickRequested
from shared.frames import ContactFor, decode_bulk, encode_bulk
from shared.lots import OVERDUE_MS, Lot
from shared.masking import masked
from shared.network import Network
from shared.parts import Contact, PlannedLine
from shared.prices import Prices
from shared.sourcing import Sourcing

FILE_NAME: Final = "edge.db"
QUARANTINE_ROWS_MAX: Final = 10_000
_DAY_MS: Final = 86_400_000

_order_decoder = msgspec.json.Decoder(Order)
_task_decoder = msgspec.json.Decoder(tuple[str, PickRequested, list[PlannedLine]])


class Store(Archive):
    """Records of one edge.

    Args:
        path: the file; made if it does not exist.
        vfs: name of an SQLite VFS to open it with, for the simulator; empty: SQLite's own.

    Attributes:
        durable: position of the newest log entry that is committed.

    Raises:
        StorageError: the file cannot be opened or is not ours.
    """

    def __init__(self, path: Path, *, vfs: str = "") -> None:
        """See the class."""
        super().__init__(path, vfs)
        self.durable = self._newest = self.last_position()

    # The transaction.

    def commit(self) -> None:
        """Make the burst durable, if anything was written; then empty the log, if `wipe` was asked.

        Raises:
            StorageError: it is not durable; call `rollback`.
        """
        if self._open:
            self._execute("commit")
            self._open = False
            self.durable = self._newest
        if self._wiping:
            self._wipe()

    def rollback(self) -> None:
        """Undo the burst."""
        self._open = False
        self._newest = self.durable
        self._bases.clear()
        if self._connection.in_transaction:
            self._connection.rollback()

    def write(self, decision: Decision) -> None:
        """Put a decision into the open transaction.

        Raises:
            StorageError: the disk is full or broken; call `rollback`.
        """
        for entry in decision.log:
            assert entry.position == self._newest + 1, f"a gap in the log at {entry.position}"
            self._newest = entry.position
        if decision.epochs is not None:
            self.set_meta("epochs", msgspec.json.encode(decision.epochs).decode())
            self._execute("delete from cells")
        if decision.restored:
            for table in ("orders", "tasks", "early", "incoming"):
                self._execute(f"delete from {table}")  # noqa: S608  # our own names
        if decision.restored or decision.rebuilt:
            self.set_meta("rebuilding", "" if decision.rebuilt else "1")
        if decision.unfit is not None:
            self.set_meta("unfit", decision.unfit)
        if decision.network is not None:
            self._many(
                "insert or replace into networks values (?, ?)",
                [(decision.network.version, encode_bulk(decision.network))],
            )
            self._many("delete from networks where version < ?", [(decision.network.version,)])
        for kind, document in (("sourcing", decision.sourcing), ("prices", decision.prices)):
            if document is not None:
                self._many(
                    "insert or replace into documents values (?, ?)",
                    [(kind, encode_bulk(document))],
                )
        self._many(
            "insert into cells values (?, ?, ?) "
            "on conflict do update set share = share + excluded.share",
            [(cell.node_id, cell.sku, cell.quantity) for cell in decision.given],
        )
        self._many(
            "update cells set share = share - ? where node_id = ? and sku = ?",
            [(cell.quantity, cell.node_id, cell.sku) for cell in decision.taken],
        )
        self._many(
            "insert into log values (?, ?, ?, ?, ?)",
            [(x.position, x.type, x.order_id, x.event, x.logged_ms) for x in decision.log],
        )
        self._many(
            "insert or replace into orders values (?, ?, ?)",
            [(x.order_id, len(x.parked), msgspec.json.encode(x).decode()) for x in decision.orders],
        )
        self._many(
            "insert or replace into tasks values (?, ?, ?, ?, ?, ?)",
            [
                (
                    task.task_id,
                    task.state,
                    task.request.node_id,
                    task.request.order_id,
                    task.event,
                    msgspec.json.encode((task.event_id, task.request, task.lines)).decode(),
                )
                for task in decision.tasks
            ],
        )
        self._many(
            "insert into early (about, event) values (?, ?)",
            [(about, encode_event(event)) for about, event in decision.early],
        )
        self._many(
            "insert or ignore into answers values (?, ?, ?, ?)",
            [(source, key, x.digest, x.position) for source, key, x in decision.answers],
        )
        self._many(
            "insert or replace into incoming values (?, ?, ?, ?, ?, ?, ?)",
            [msgspec.structs.astuple(lot) for lot in decision.incoming if lot.units],
        )
        self._many(
            "delete from incoming where node_id = ? and lot_id = ? and sku = ?",
            [(x.node_id, x.lot_id, x.sku) for x in decision.incoming if not x.units],
        )
        self._many(
            "insert or replace into slots values (?, ?, ?)",
            [
                (announced.node_id, to_ms(slot.starts_at), to_ms(slot.ends_at))
                for announced in decision.capacity
                for slot in announced.slots
            ],
        )
        self._many("insert or replace into failures values (?, ?, ?, ?, ?)", decision.failures)
        self._keep(decision.decisions)
        if decision.contact is not None:
            order_id, contact = decision.contact
            self._many(
                "insert or replace into contacts values (?, ?)",
                [(order_id, msgspec.json.encode(contact).decode())],
            )
        if decision.feed is not None:
            self.set_meta("feed", str(decision.feed))

    # Records, as the engine asks for them.

    def meta(self, key: str, default: str = "") -> str:
        """A value kept by name."""
        row = self._row("select value from meta where key = ?", key)
        return row[0] if row else default

    def set_meta(self, key: str, value: str) -> None:
        """Keep a value by name, in the open transaction."""
        self.begin()
        self._execute("insert or replace into meta values (?, ?)", key, value)

    def last_position(self) -> int:
        """Position of the newest log entry; 0 when the log is empty."""
        row = self._row("select max(position) from log")
        return (row[0] if row else None) or 0

    def epochs(self) -> list[tuple[int, int]]:
        """The edge's epochs, oldest first, each with the log position before its first entry."""
        return msgspec.json.decode(self.meta("epochs", "[[1,0]]"), type=list[tuple[int, int]])

    def network(self) -> Network | None:
        """The newest network snapshot."""
        row = self._row("select body from networks order by version desc limit 1")
        return decode_bulk(row[0], Network) if row else None

    def sourcing(self) -> Sourcing | None:
        """The sourcing document in force."""
        row = self._row("select body from documents where kind = 'sourcing'")
        return decode_bulk(row[0], Sourcing) if row else None

    def prices(self) -> Prices | None:
        """The newest prices."""
        row = self._row("select body from documents where kind = 'prices'")
        return decode_bulk(row[0], Prices) if row else None

    def cells(self) -> Iterator[tuple[str, str, int]]:
        """Every share: node, SKU, units."""
        return iter(self._rows("select node_id, sku, share from cells"))

    def answer(self, source: str, event_id: str) -> Answer | None:
        """What became of an event that was handled before."""
        row = self._row(
            "select digest, position from answers where source = ? and event_id = ?",
            source,
            event_id,
        )
        return Answer(*row) if row else None

    def log_entry(self, position: int) -> bytes | None:
        """The event at a position of the log; None: it was pruned."""
        row = self._row("select event from log where position = ?", position)
        return row[0] if row else None

    def order(self, order_id: str) -> Order | None:
        """An order of this edge."""
        row = self._row("select body from orders where order_id = ?", order_id)
        return _order_decoder.decode(row[0]) if row else None

    def untold_orders(self) -> Iterator[Order]:
        """Orders with reports that they have not followed; only after a rebuild."""
        rows = self._rows(
            "select body from orders where json_extract(body, '$.untold[0]') is not null "
            "order by order_id"
        )
        return (_order_decoder.decode(body) for (body,) in rows)

    def parked_orders(self) -> Iterator[Order]:
        """Orders with parked lines, oldest first."""
        rows = self._rows("select body from orders where parked > 0 order by order_id")
        return (_order_decoder.decode(body) for (body,) in rows)

    def task(self, task_id: str) -> Task | None:
        """A task of this edge's nodes."""
        row = self._row("select task_id, state, event, body from tasks where task_id = ?", task_id)
        return _task(*row) if row else None

    def early(self, about: str) -> list[Event]:
        """What the past said of a task or an order before that itself, oldest first."""
        rows = self._rows("select event from early where about = ? order by number", about)
        return [decode_event(event) for (event,) in rows]

    def open_tasks(self, node_id: str) -> Iterator[Task]:
        """Tasks of a node whose goods have not left it, newest first."""
        rows = self._rows(
            "select task_id, state, event, body from tasks where node_id = ? and state in "
            "('issued', 'accepted', 'completed', 'packed') order by order_id desc, task_id desc",
            node_id,
        )
        return (_task(*row) for row in rows)

    def slots(self) -> Iterator[tuple[str, int, int]]:
        """Pick capacity that nodes have announced: node, start and end in ms."""
        return iter(self._rows("select node_id, starts_ms, ends_ms from slots"))

    def failures(self) -> Iterator[Failure]:
        """What picks have taught."""
        rows = self._rows("select node_id, sku, score, at_ms, good from failures")
        return (Failure(*row) for row in rows)

    def incoming(self, after_ms: int) -> Iterator[Lot]:
        """Lots that were or are expected after a moment."""
        rows = self._rows("select * from incoming where expected_ms > ?", after_ms)
        return (Lot(*row) for row in rows)

    # What gateway and uplink need.

    def issued_tasks(self, rows_max: int) -> list[Task]:
        """Tasks that no warehouse has accepted yet, oldest first, at most so many a node."""
        # From node to node by the index, so that a hundred thousand tasks take no longer.
        rows = self._rows(
            "with recursive nodes (node_id) as (select min(node_id) from tasks where state = "
            "'issued' union all select (select min(node_id) from tasks where state = 'issued' and "
            "node_id > nodes.node_id) from nodes where node_id is not null) "
            "select task_id, state, event, body from nodes join tasks on tasks.rowid in (select "
            "rowid from tasks as own where own.node_id = nodes.node_id and own.state = 'issued' "
            "order by own.task_id limit ?) order by task_id",
            rows_max,
        )
        return [_task(*row) for row in rows]

    def log_after(self, position: int, rows_max: int) -> list[tuple[int, bytes]]:
        """Log entries behind a position: (position, event)."""
        return self._rows(
            "select position, event from log where position > ? order by position limit ?",
            position,
            rows_max,
        )

    def prune_log(self, through: int, before_ms: int, rows_max: int) -> int:
        """Forget old entries that central has; the newest entry always stays.

        Args:
            through: central has the log through this position.
            before_ms: only entries logged before; milliseconds since 1970 UTC.
            rows_max: at most so many, so that nobody waits for it.

        Returns:
            How many entries are gone.
        """
        first: int = (self._row("select min(position) from log") or [None])[0] or 1
        last = min(through, self._newest - 1, first + rows_max - 1)
        # Up to the first that is too young: a clock that was set back must not leave gaps.
        young = self._row(
            "select position from log where position <= ? and logged_ms >= ? "
            "order by position limit 1",
            last,
            before_ms,
        )
        gone = (young[0] - 1 if young else last) - first + 1
        if gone <= 0:
            return 0
        self.begin()
        self._execute("delete from log where position < ?", first + gone)
        return gone

    def prune_decisions(self, entries_max: int, rows_max: int) -> int:
        """Forget what plans were made by whose entries are pruned, or no longer among the newest.

        Args:
            entries_max: of how many of the newest entries it is kept.
            rows_max: at most so many rows, so that nobody waits for it.

        Returns:
            The position up to which all is gone.
        """
        oldest: int = (self._row("select min(position) from log") or [None])[0] or 1
        return self._forget(max(oldest, self._newest - entries_max + 1), rows_max)

    def contacts(self, rows_max: int) -> list[ContactFor]:
        """Contacts that central does not have yet."""
        rows = self._rows("select order_id, body from contacts limit ?", rows_max)
        return [
            ContactFor(order_id=order_id, contact=msgspec.json.decode(body, type=Contact))
            for order_id, body in rows
        ]

    def forget_contacts(self, order_ids: Iterable[str]) -> None:
        """Central has these."""
        self._many("delete from contacts where order_id = ?", [(x,) for x in order_ids])
        self.traces = True

    def forget_past(self, before_ms: int) -> None:
        """Lots that are long overdue will not come; slots are over."""
        self._many("delete from incoming where expected_ms <= ?", [(before_ms - OVERDUE_MS,)])
        self._many("delete from slots where ends_ms < ?", [(before_ms - _DAY_MS,)])

    def quarantine(self, topic: str, payload: bytes, error: PointsmanError, at: str) -> None:
        """Keep a refused input where an operator finds it, once, however often it comes.

        Contact details are left out and long runs of digits masked: a till that sends a card or
        phone number by mistake must not leave it here. The oldest rows make room beyond
        `QUARANTINE_ROWS_MAX`.
        """
        self.begin()
        digest = hashlib.sha256(payload).hexdigest()
        self._execute(
            "insert into quarantine values (?, ?, ?, 1, ?, ?, ?, ?, ?, ?, ?) "
            "on conflict do update set last_at = excluded.last_at, times = times + 1",
            digest, at, at, masked(topic[:256]), error.code, masked(error.place[:1024]),
            masked(error.detail[:1024]), masked(error.expected[:1024]), len(payload),
            masked(excerpt(payload)),
        )  # fmt: skip
        self._execute(
            "delete from quarantine where rowid <= (select max(rowid) from quarantine) - ?",
            QUARANTINE_ROWS_MAX,
        )


def _task(task_id: str, state: Any, event: bytes, body: str) -> Task:
    event_id, request, lines = _task_decoder.decode(body)
    return Task(
        task_id=task_id, state=state, request=request, event_id=event_id, event=event, lines=lines
    )
