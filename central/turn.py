"""One transaction in the making: the streams it moves, what it feeds, and what it hands out."""

from collections.abc import Iterable, Sequence
from copy import copy
from typing import Final

from central import holdings, streams, views
from central.accounts import Book, Cell
from central.burst import Memory, Outcome
from central.database import Database
from central.demand import Demand
from central.desk import Misfit, Waiting
from central.escrow import Handout, Policy, Situation
from central.feed import Document, Item, cell_bodies, lot_bodies
from central.hub_stream import HubStream
from central.relief import Need, needs_of
from central.sealing import Keyring
from central.stream import Entry, Stream
from central.territory import Territory
from central.vault import Vault
from shared.frames import FeedKind, Grant, Recall
from shared.lots import OVERDUE_MS

SEEN_MS: Final = 60_000
"""An edge's last word is written down this often if it says nothing else."""


class Turn:
    """The writing of one transaction. Made for one, and thrown away with it.

    Args:
        connection: inside a transaction.
        memory: what central remembers; not changed here.
        policy: of the escrow.
        keyring: of the vault.
        now_ms: wall time.
    """

    def __init__(
        self,
        connection: Database,
        memory: Memory,
        policy: Policy,
        keyring: Keyring,
        now_ms: int,
    ) -> None:
        """See the class."""
        self.connection = connection
        self.memory = memory
        self.policy = policy
        self.now_ms = now_ms
        self.outcome = Outcome()
        self.territory: Territory = memory.territory
        self.vault = Vault(connection, keyring, now_ms)
        self.hub = HubStream(memory.hub, now_ms)

    def find(self, edge_id: str) -> Stream | None:
        """The stream of an edge, to be changed here; None if it has none."""
        stream = self.outcome.streams.get(edge_id)
        if stream is None and edge_id in self.memory.streams:
            stream = self.outcome.streams[edge_id] = copy(self.memory.streams[edge_id])
        return stream

    def stream(self, edge_id: str) -> Stream:
        """The stream of an edge, begun if it has none."""
        stream = self.find(edge_id)
        if stream is None:
            stream = self.outcome.streams[edge_id] = Stream(edge_id)
            self.feed_documents(edge_id)
            self.feed_announced(edge_id)
        return stream

    def feed_documents(self, edge_id: str) -> None:
        """Feed an edge what planners have published."""
        for kind, document in {**self.memory.documents, **self.outcome.documents}.items():
            self.feed(edge_id, kind, document.body)

    def feed_announced(self, edge_id: str) -> None:
        """Feed an edge what nodes can pick, and what is on its way to them."""
        for raw in streams.load_capacities(self.connection, self.now_ms):
            self.feed(edge_id, "event", raw)
        open_lots = holdings.load_open_lots(self.connection, self.now_ms - OVERDUE_MS)
        for body in lot_bodies(open_lots):
            self.feed(edge_id, "lots", body)

    def feed(self, edge_id: str, kind: FeedKind, body: bytes) -> int:
        """Add an item to an edge's feed; returns its number."""
        stream = self.stream(edge_id)
        self.outcome.items.append(Item(edge_id, stream.feed_next, kind, body))
        stream.feed_next += 1
        return stream.feed_next - 1

    def publish(self, kind: FeedKind, document: Document) -> None:
        """Feed a document to every edge; those that join later are introduced with it."""
        self.outcome.documents[kind] = document
        for edge_id in sorted({*self.memory.streams, *self.territory.edges}):
            if self.find(edge_id) is None:
                self.stream(edge_id)
            else:
                self.feed(edge_id, kind, document.body)

    def drop_feed(self, stream: Stream) -> None:
        """Forget what the edge has not applied of its feed; the numbering goes on."""
        streams.prune_feed(self.connection, stream.edge_id, stream.feed_next - 1)
        self.outcome.items = [x for x in self.outcome.items if x.edge_id != stream.edge_id]
        stream.feed_acked = stream.feed_next - 1

    def note(self, misfit: Misfit, entry: Entry | None = None) -> None:
        """Note an exception, with the entry that it came from."""
        self.outcome.misfits.append((entry, misfit))

    def note_once(self, misfit: Misfit, edge_id: str, boot: str) -> None:
        """Note an exception once for each start of an edge."""
        if not streams.is_noted(self.connection, edge_id, [boot], misfit.code):
            streams.save_noted(self.connection, edge_id, boot, misfit.code)
            self.note(misfit)

    def book(self) -> Book:
        """An empty book of this moment."""
        return Book(demand=Demand(self.now_ms, self.policy.half_life_ms))

    def situation(self, cells: Iterable[Cell]) -> Situation:
        """What the policy has to know to settle these cells."""
        fenced = set(self.memory.fenced)
        for edge_id, stream in self.outcome.streams.items():
            (fenced.add if stream.fenced else fenced.discard)(edge_id)
        # Asked of the table: who waits need not be among those that this turn looks at.
        scarce = views.lacking_of(self.connection, {sku for _, sku in cells})
        return Situation(self.territory, frozenset(fenced), self.memory.present, scarce)

    def share_out(
        self,
        book: Book,
        waiting: Iterable[Waiting],
        cells: Iterable[Cell] | None = None,
        asks: Sequence[Need] = (),
    ) -> None:
        """Let the policy hand out and call back; feed it, and save the book.

        Args:
            book: the accounts that have moved.
            waiting: lines that may be helped, with all others that wait for the same units.
            cells: which to settle; by default those that have moved.
            asks: what payments that wait lack.
        """
        for edge_id, cell in book.share_moves:
            if book.shares[cell][edge_id] < 0:
                detail = f"{edge_id} has committed more of {cell} than it was ever granted"
                self.note(Misfit("oversold", detail, edge_id=edge_id))
        moved = list(book.moves) if cells is None else list(cells)
        situation, handout = self.situation(moved), Handout()
        needs = needs_of(waiting)
        wanted = {cell for need in (*needs, *asks) for cell in need.cells()}
        holdings.load_cells(self.connection, book, wanted)
        if any(balance.pool < 0 for balance in book.balances.values()):
            # What a pool owes is promised already, so it comes before what anybody waits for.
            self.policy.pay_debts(book, situation, handout)
        self.policy.relieve(book, situation, needs, asks, handout)
        self.policy.settle(book, situation, moved, handout)
        self._hand_over(handout)
        for cell, move in book.moves.items():
            assert book.conserved(cell), cell
            if move.pool < 0 and book.balances[cell].pool < 0:
                detail = f"{cell} is {-book.balances[cell].pool} units below what is promised"
                self.note(Misfit("stock_debt", detail))
        holdings.save_book(self.connection, book)

    def share_out_all(self) -> None:
        """The same over all cells and all lines that wait."""
        book = holdings.load_whole_book(self.connection, self.book())
        self.share_out(book, views.load_all_lacking(self.connection), list(book.balances))

    def finish(self) -> Outcome:
        """Write what has gathered; what was done is complete with it."""
        changed = [x for x in self.outcome.streams.values() if self._moved(x)]
        if self.hub.moved:
            self.outcome.hub = self.hub.head
            assert self.outcome.hub.stream is not None
            changed.append(self.outcome.hub.stream)
        streams.save_streams(self.connection, changed)
        streams.append_feed(self.connection, self.outcome.items)
        views.save_exceptions(self.connection, self.outcome.misfits, self.now_ms)
        return self.outcome

    def _hand_over(self, handout: Handout) -> None:
        for edge_id, _, body in cell_bodies(handout.grants, Grant):
            self.feed(edge_id, "grant", body)
        for edge_id, cells, body in cell_bodies(handout.recalls, Recall):
            number = self.feed(edge_id, "recall", body)
            holdings.save_recall(self.connection, edge_id, number, cells)

    def _moved(self, stream: Stream) -> bool:
        before = self.memory.streams.get(stream.edge_id)
        if before is None:
            return True
        seen_ms = stream.last_seen_ms
        if abs(seen_ms - before.last_seen_ms) >= SEEN_MS:
            return True
        now = copy(stream)
        now.last_seen_ms = before.last_seen_ms
        return now != before
