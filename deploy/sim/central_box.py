"""Central on a disk that can lose its power, and what must be there when it returns.

Its core is the real one, over the real database. What it has acknowledged and sent the box
remembers apart from it, and holds it against the file after each cut.
"""

from random import Random
from typing import Final, NamedTuple

from sqlalchemy import select

from central.admin import ADMIN, Message
from central.core import Central
from central.database import Database, close_database, open_database
from central.escrow import DemandPolicy
from central.ledger import verify_file
from central.sealing import Keyring
from central.tables import accounts, exceptions, feed, ledger, poison, shares, streams
from deploy.sim.central_process import MASTER_KEY
from deploy.sim.disk import Disk
from deploy.sim.vfs import VFS_NAME
from shared import topics
from shared.frames import Ack, FeedKind, decode_frame, parse_feed_kind

Cell = tuple[str, str]
"""Node id, SKU."""


class Item(NamedTuple):
    """An item of the feed."""

    number: int
    kind: FeedKind
    body: bytes


_POOL_RESERVE: Final = 0.2
_TURN_MS: Final = 5_000
"""Between two bursts; longer than the patience with a feed that does not move."""


class CentralBox:
    """Central with one edge, driven by hand. `start` it first.

    Args:
        edge_id: the edge that speaks to it.

    Attributes:
        disk: what its database is on.
        acked: the edge was told that the ledger has its log through here.
        faults: what was found wrong so far.
    """

    def __init__(self, edge_id: str) -> None:
        """See the class."""
        self.disk = Disk()
        self.acked = 0
        self.faults: list[str] = []
        self._edge_id = edge_id
        self._sent: dict[int, bytes] = {}  # of the feed, by number
        self._ends: set[int] = {0}  # where the ledger may end: nothing goes in by halves
        self._elapsed_ms = 0
        self._running: tuple[Database, Central] | None = None

    @property
    def database(self) -> Database:
        """The open database."""
        assert self._running is not None, "start the box first"
        return self._running[0]

    def start(self, _: int) -> None:
        """Open the database, which may be new, and read it.

        Raises:
            ConfigError, StorageError: it cannot be; the power may be gone.
        """
        database = open_database(self.disk.folder, vfs=VFS_NAME)
        try:
            keyring = Keyring([MASTER_KEY], Random(0).randbytes)
            self._running = database, Central(database, DemandPolicy(_POOL_RESERVE), keyring)
        finally:
            if self._running is None:
                close_database(database)

    def stop(self) -> None:
        """Close the database, if it is open; with power, SQLite then tidies its log away."""
        if self._running is not None:
            database, _ = self._running
            self._running = None
            close_database(database)

    def close(self) -> None:
        """Stop, and throw the disk away."""
        self.stop()
        self.disk.close()

    def publish(self, document: bytes, now_ms: int) -> list[Item]:
        """Publish a network document, or do so again; returns feed items for the edge."""
        return self._receive([Message(topics.up(ADMIN, "network"), document)], now_ms)

    def receive(self, said: list[Message], end: int, now_ms: int) -> list[Item]:
        """Take in what the edge says.

        Args:
            said: its messages.
            end: through which position its log reaches with them.
            now_ms: milliseconds since 1970 UTC.

        Returns:
            Feed items for the edge.
        """
        self._ends.add(end)
        return self._receive(said, now_ms)

    def _receive(self, said: list[Message], now_ms: int) -> list[Item]:
        assert self._running is not None, "start the box first"
        self._elapsed_ms += _TURN_MS
        items = []
        core = self._running[1]
        for answer in core.receive(said, now_ms=now_ms, elapsed_ms=self._elapsed_ms):
            device, kind = topics.parse_down(answer.topic)
            if device != self._edge_id:
                continue
            if kind == topics.ACK:
                self.acked = decode_frame(answer.payload, Ack).sequence
            else:
                items.append(Item(*parse_feed_kind(kind), answer.payload))
        for item in items:
            if self._sent.setdefault(item.number, item.body) != item.body:
                self.faults.append(f"feed item {item.number} was sent with other content before")
        return items

    def check(self, log: list[bytes]) -> None:
        """Hold the open database against what was said and sent; `faults` has the outcome.

        Args:
            log: what the edge's log holds; the ledger holds the same, or a beginning of it.
        """
        database = self.database
        with database.begin():
            whole = database.exec_driver_sql("pragma integrity_check").scalar()
            if whole != "ok":
                self.faults.append(f"integrity_check: {whole}")
                return
            raws = list(database.scalars(select(ledger.c.raw).order_by(ledger.c.position)))
            items = {row.number: row.body for row in database.execute(select(feed))}
            stream = database.execute(select(streams)).one_or_none()
            # In which steps an order comes about is no matter of the disk.
            odd = select(exceptions).where(exceptions.c.code != "order_step")
            noted = [*database.execute(odd), *database.execute(select(poison))]
        verdict = verify_file(self.disk.folder)
        if verdict.position is not None:
            self.faults.append(f"the ledger is {verdict}")
        if raws != log[: len(raws)]:
            self.faults.append("the ledger is not what the edge has logged")
        if len(raws) < self.acked or len(raws) not in self._ends:
            self.faults.append(f"the ledger ends at {len(raws)}; acknowledged was {self.acked}")
        applied = 0 if stream is None else stream.feed_acked
        if any(items.get(x) != body for x, body in self._sent.items() if x > applied):
            self.faults.append(f"the feed has lost what was sent after {applied}")
        if noted:
            self.faults.append(f"central has noted {noted}")
        self._check_books()

    def _check_books(self) -> None:
        for cell, row in self._accounts().items():
            held = self.shares().get(cell, 0)
            pool, committed, shipped, received, adjusted = row
            if pool + held + committed + shipped != received - adjusted or min(pool, held) < 0:
                self.faults.append(
                    f"the account of {cell} does not add up: {row}, {held} in shares"
                )

    def _accounts(self) -> dict[Cell, tuple[int, ...]]:
        with self.database.begin():
            rows = list(self.database.execute(select(accounts)))
        return {
            (x.node_id, x.sku): (x.pool, x.committed, x.shipped, x.received, x.adjusted)
            for x in rows
        }

    def shares(self) -> dict[Cell, int]:
        """What central has granted to the edge, and not seen promised."""
        with self.database.begin():
            rows = list(self.database.execute(select(shares)))
        return {(row.node_id, row.sku): row.units for row in rows}
