"""Looks at central's disk after every transaction: ledger, feed, accounts, exceptions."""

from central.database import Database
from deploy.sim.books import Cell, EdgeBook, Entry, ViolationError, add, counts
from deploy.sim.central_process import CentralProcess
from deploy.sim.tally import Tally
from shared.events import OrderAccepted, PackageShipped
from shared.frames import Grant, decode_bulk
from shared.parts import is_slot

EXPECTED = frozenset(
    {"order_twice", "stock_debt", "fenced", "late_sale", "edge_behind", "edge_twin"}
)
"""Exceptions that a sound company notes in such a world."""

AFTER_LOSS = frozenset({"unknown_order", "wrong_state", "order_step", "task_twice", "epoch_over"})
"""Those that are noted as well once a disk was lost with entries that nobody else had."""


class CentralChecks(Tally):
    """P2 of central, and P3: what the ledger has is what the edges have said."""

    def central_started(self, central: CentralProcess) -> None:
        """What was durable must still be there."""
        self._changes = -1
        self.central_committed(central)

    def central_committed(self, central: CentralProcess) -> None:
        """See what a transaction has added."""
        assert central.connection is not None
        read = _reader(central.connection)
        changes = read.total_changes
        if changes == self._changes:
            return
        self._changes = changes
        rises: dict[Cell, int] = {}
        touched: set[Cell] = set()
        ends: dict[str, tuple[int, int]] = {}
        last: dict[str, int] = {}
        grants: list[tuple[str, Cell]] = []
        for edge_id, epoch, sequence, share_epoch, feed_next in read.execute(
            "select edge_id, epoch, sequence, share_epoch, feed_next from streams"
        ).fetchall():
            ends[edge_id], last[edge_id] = (epoch, sequence), feed_next - 1
            book = self.books.get(edge_id)
            if book is not None and share_epoch > book.share_epoch:
                if share_epoch > 1:  # The first epoch begins without a fence.
                    touched |= self._fenced(book)
                book.share_epoch = share_epoch
        for position, edge_id, epoch, sequence, raw in read.execute(
            "select position, edge_id, epoch, sequence, raw from ledger where position > ?",
            (self._ledger_end,),
        ).fetchall():
            self._ledger_end = position
            touched |= self._ingest(self.books[edge_id], (epoch, sequence), raw, rises)
        for edge_id, end in ends.items():
            book = self.books[edge_id]
            if end[1] and end != book.ingested:
                raise ViolationError(
                    "P3", f"central counts {edge_id} to {end}; the ledger ends at {book.ingested}"
                )
        for edge_id, number in last.items():
            if number > self._feed_end.get(edge_id, 0):
                given = self._feed(read, self.books[edge_id], number)
                touched |= given
                grants += [(edge_id, cell) for cell in sorted(given)]
        self._check_fences(grants)
        self._weigh(touched, rises)
        self._compare(read)
        self._note(read)

    def _fenced(self, book: EdgeBook) -> set[Cell]:
        touched = set(book.central_share) | set(book.share) | set(book.on_the_way())
        book.central_share, book.coming, book.pending = {}, {}, {}
        for entry in book.said.values():
            if not entry.ingested and not entry.void and not entry.late:
                self._be_late(entry)
        return touched

    def _ingest(
        self, book: EdgeBook, key: tuple[int, int], raw: bytes, rises: dict[Cell, int]
    ) -> set[Cell]:
        entry = book.said.get(key)
        if entry is None or entry.raw != raw:
            raise ViolationError("P3", f"the ledger has what {book.edge_id} never said, at {key}")
        follows = key == (book.ingested[0], book.ingested[1] + 1) or (
            key[0] > book.ingested[0] and key[1] == 1
        )
        if not follows:
            raise ViolationError(
                "P3", f"the ledger goes from {book.ingested} to {key} of {book.edge_id}"
            )
        book.ingested, entry.ingested = key, True
        touched = set()
        was_void, entry.void = entry.void, False
        if was_void:
            for effect in entry.effects:
                add(self.owed, effect.cell, effect.owed)
                add(self.made, effect.cell, effect.made)
                rises[effect.cell] = rises.get(effect.cell, 0) + max(0, effect.owed - effect.made)
        elif not entry.late:
            for effect in entry.effects:
                add(book.pending, effect.cell, -effect.share)
        for effect in entry.effects:
            touched.add(effect.cell)
            add(self.owed_in, effect.cell, effect.owed)
            add(self.made_in, effect.cell, effect.made)
            if key[0] == book.share_epoch:
                add(book.central_share, effect.cell, effect.share)
        for cell, units in entry.slack.items():
            if not was_void:
                add(self._slack, cell, -units)
            rises[cell] = rises.get(cell, 0) + units
            touched.add(cell)
        touched |= self._ship_and_count(entry, rises)
        if isinstance(entry.data, OrderAccepted):
            edges = self.accepted.setdefault(entry.data.order_id, {})
            edges[book.edge_id] = edges.get(book.edge_id, 0) + 1
            if edges[book.edge_id] > 1:
                raise ViolationError(
                    "P3", f"{book.edge_id} has accepted order {entry.data.order_id} twice"
                )
        return touched

    def _ship_and_count(self, entry: Entry, rises: dict[Cell, int]) -> set[Cell]:
        touched = set()
        data = entry.data
        if isinstance(data, PackageShipped) and data.node_id is not None:
            for line in data.lines:
                add(self.shipped_in, (data.node_id, line.sku), line.quantity)
        for cell, units in counts(data).items():
            found = units - self.made_in.get(cell, 0) + self.shipped_in.get(cell, 0)
            add(self.made_in, cell, found)
            add(self.made, cell, found)
            rises[cell] = rises.get(cell, 0) + max(0, -found)
            touched.add(cell)
        return touched

    def _feed(self, read: "_Reader", book: EdgeBook, through: int) -> set[Cell]:
        touched = set()
        after = self._feed_end.get(book.edge_id, 0)
        self._feed_end[book.edge_id] = through
        for number, body in read.execute(
            "select number, body from feed where edge_id = ? and number > ? and kind = 'grant'",
            (book.edge_id, after),
        ).fetchall():
            cells = [((x.node_id, x.sku), x.quantity) for x in decode_bulk(body, Grant).cells]
            book.coming[number] = cells
            for cell, units in cells:
                add(book.central_share, cell, units)
                self.measures.units_granted += units
                touched.add(cell)
        return touched

    def _check_fences(self, grants: list[tuple[str, Cell]]) -> None:
        """What a store gives to other edges leaves its last units to customers who walk in."""
        stores = {node.node_id: node for node in self.world.network.nodes if node.kind == "store"}
        for edge_id, cell in grants:
            store = stores.get(cell[0])
            if store is None or store.edge_id == edge_id or is_slot(cell[1]):
                continue
            self.measures.units_abroad += 1
            left = self.books[store.edge_id].central_share.get(cell, 0) + self.pool(cell)
            if left < store.walk_in_units:
                raise ViolationError(
                    "walk-in", f"{edge_id} gets units of {cell}; {store.edge_id} keeps {left}"
                )

    def _compare(self, read: "_Reader") -> None:
        """P2 at central: its accounts are what the ledger and the feed add up to."""
        held: dict[str, dict[Cell, int]] = {edge_id: {} for edge_id in self.books}
        total: dict[Cell, int] = {}
        for edge_id, node_id, sku, units in read.execute(
            "select edge_id, node_id, sku, units from shares where units != 0"
        ).fetchall():
            held[edge_id][node_id, sku] = units
            total[node_id, sku] = total.get((node_id, sku), 0) + units
        for edge_id, book in self.books.items():
            if held[edge_id] != book.central_share:
                cells = sorted(x for x, _ in held[edge_id].items() ^ book.central_share.items())
                told = [
                    (x, held[edge_id].get(x, 0), book.central_share.get(x, 0)) for x in cells[:3]
                ]
                raise ViolationError(
                    "P2", f"central has other shares of {edge_id} than its ledger and feed say: "
                    f"(cell, has, should) {told}",
                )  # fmt: skip
        for node_id, sku, pool, owed, made in read.execute(
            "select node_id, sku, pool, committed + shipped, received - adjusted from accounts"
        ).fetchall():
            cell = (node_id, sku)
            if (
                owed != self.owed_in.get(cell, 0)
                or made != self.made_in.get(cell, 0)
                or pool + total.get(cell, 0) + owed != made
            ):
                raise ViolationError(
                    "P2", f"{cell}: central has pool {pool}, shares {total.get(cell, 0)}, owed "
                    f"{owed}, made {made}; the ledger says owed {self.owed_in.get(cell, 0)}, "
                    f"made {self.made_in.get(cell, 0)}",
                )  # fmt: skip

    def _note(self, read: "_Reader") -> None:
        for number, code, detail, edge_id, epoch, sequence in read.execute(
            "select number, code, detail, edge_id, epoch, sequence from exceptions "
            "where number > ?",
            (self._exceptions_end,),
        ).fetchall():
            self._exceptions_end = number
            self.exceptions.append((code, edge_id, epoch, sequence))
            expected = EXPECTED | (AFTER_LOSS if self.measures.lost_entries else frozenset())
            if code not in expected:
                raise ViolationError("exception", f"central notes {code}: {detail}")


class _Reader:
    """What is used of the connection under SQLAlchemy's: for reading, between transactions."""

    total_changes: int

    def execute(self, sql: str, values: tuple[object, ...] = ()) -> "_Reader":
        """See `sqlite3.Database`."""
        raise NotImplementedError

    def fetchall(self) -> list[tuple]:  # type: ignore[type-arg]
        """See `sqlite3.Cursor`."""
        raise NotImplementedError


def _reader(connection: Database) -> _Reader:
    found = connection.connection.driver_connection
    assert found is not None
    return found  # type: ignore[no-any-return]
