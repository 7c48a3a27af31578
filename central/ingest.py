"""Ingest: one burst of the edges' messages, one transaction.

Ledger, views, accounts, grants and feed change together or not at all. A pool is debited in
the same transaction that writes the grant into the feed, so before anything is sent.
"""

from collections.abc import Iterable

from central import hub, ledger, streams, views
from central.accounts import Book, Posting, postings
from central.burst import Burst, Key, Known, Outcome, UnfitError
from central.database import Database
from central.desk import Desk, Misfit
from central.escrow import Grants, Policy
from central.feed import Item, destinations, grant_bodies
from central.stream import Entry, ForgottenError, Stream, WrongEpochError, take
from central.territory import Territory, territory_of
from shared.errors import InternalError, InvalidDataError
from shared.events import Data, OrderAccepted, OrderParked, PickRequested, RoutePlanned
from shared.frames import FeedKind, Hello, encode_bulk
from shared.network import Network, parse_network


class Ingest:
    """The writing of one transaction. Made for one, and thrown away with it.

    Args:
        connection: inside a transaction.
        known: of the latest network.
        edges: all edges that have a stream.
        policy: of the escrow.
        now_ms: wall time.
    """

    def __init__(
        self,
        connection: Database,
        known: Known,
        edges: Iterable[str],
        policy: Policy,
        now_ms: int,
    ) -> None:
        """See the class."""
        self._edges = edges
        self._connection = connection
        self._known = known
        self._policy = policy
        self._now_ms = now_ms
        self._items: list[Item] = []
        self._outcome = Outcome()

    def record(self, burst: Burst, unfit: dict[Key, InternalError]) -> Outcome:
        """Take a burst in.

        Args:
            burst: what was said.
            unfit: events that are to have no effect, since they met a fault of ours.

        Raises:
            UnfitError: an event that met a fault of ours.
        """
        for stream in streams.load_streams(self._connection, burst.edges()):
            self._outcome.streams[stream.edge_id] = stream
        for edge_id, hello in burst.hellos:
            self._greet(edge_id, hello)
        entries = [self._marked(x, unfit) for x in self._take(burst.logs)]
        if entries:
            ledger.append(self._connection, entries)
            self._outcome.entries = len(entries)
            self._outcome.poisoned = [entry for entry in entries if entry.fault is not None]
            views.save_poison(self._connection, self._outcome.poisoned)
            self._follow(entries)
        for _, received in burst.contacts:
            streams.save_contacts(self._connection, received)
        return self._finish()

    def publish(self, network: Network, document: bytes) -> Outcome:
        """Keep a network, feed it to every edge, share out what it makes shareable.

        The same document again does nothing.

        Raises:
            InvalidDataError: its version is not later than the last one's.
        """
        latest = streams.latest_network(self._connection)
        if latest is not None:
            last = parse_network(latest)
            if last == network:
                return self._outcome
            if network.version <= last.version:
                raise InvalidDataError(
                    f"version {network.version} comes after version {last.version}",
                    place="$.version",
                    expected=f"a version greater than {last.version}",
                )
        streams.save_network(self._connection, network.version, document)
        for stream in streams.load_streams(self._connection):
            self._outcome.streams[stream.edge_id] = stream
        territory = territory_of(network)
        for edge_id in territory.edges:
            self._outcome.streams.setdefault(edge_id, Stream(edge_id))
        body = encode_bulk(network)
        for edge_id in sorted(self._outcome.streams):
            self._feed(edge_id, "network", body)
        book = views.load_whole_book(self._connection)
        desk = views.load_all_waiting(self._connection)
        self._share_out(book, desk, territory, everywhere=True)
        views.save_book(self._connection, book)
        views.save_desk(self._connection, desk)
        return self._finish()

    def _stream(self, edge_id: str) -> Stream:
        stream = self._outcome.streams.get(edge_id)
        if stream is None:
            found = streams.load_streams(self._connection, [edge_id])
            stream = self._outcome.streams[edge_id] = found[0] if found else Stream(edge_id)
            if not found and self._known.body is not None:
                self._feed(edge_id, "network", self._known.body)
        return stream

    def _feed(self, edge_id: str, kind: FeedKind, body: bytes) -> None:
        stream = self._stream(edge_id)
        self._items.append(Item(edge_id, stream.feed_next, kind, body))
        stream.feed_next += 1

    def _greet(self, edge_id: str, hello: Hello) -> None:
        stream = self._stream(edge_id)
        try:
            stream.open(hello.epoch)
        except WrongEpochError as error:
            self._outcome.refusals.append((edge_id, error))
            return
        stream.last_seen_ms = self._now_ms
        if hello.feed >= stream.feed_next:
            self._forgotten(
                edge_id,
                f"{edge_id} has applied feed item {hello.feed}; the last one here is "
                f"{stream.feed_next - 1}: has central's database been restored?",
            )
        elif hello.feed > stream.feed_acked:
            stream.feed_acked = hello.feed
            streams.prune_feed(self._connection, edge_id, hello.feed)
        elif hello.feed < stream.feed_acked:
            self._forgotten(
                edge_id,
                f"{edge_id} has applied the feed through {hello.feed}, and had through "
                f"{stream.feed_acked}: has its disk been restored?",
            )
        if hello.sequence < stream.sequence:
            self._forgotten(
                edge_id,
                f"{edge_id}'s log ends at {hello.sequence}; the ledger has {stream.sequence}: "
                "has its disk been restored?",
            )

    def _forgotten(self, edge_id: str, detail: str) -> None:
        self._outcome.refusals.append((edge_id, ForgottenError(detail)))

    def _note(self, misfit: Misfit, entry: Entry | None = None) -> None:
        self._outcome.misfits.append((entry, misfit))

    def _take(self, logs: Iterable[tuple[str, list[bytes]]]) -> Iterable[Entry]:
        for edge_id, raws in logs:
            stream = self._stream(edge_id)
            stream.last_seen_ms = self._now_ms
            entries, refusal = take(stream, raws)
            yield from entries
            if refusal is not None:
                self._outcome.refusals.append((edge_id, refusal))

    def _marked(self, entry: Entry, unfit: dict[Key, InternalError]) -> Entry:
        fault = unfit.get(entry.key)
        return entry if fault is None else entry._replace(data=None, fault=fault)

    def _follow(self, entries: list[Entry]) -> None:
        moves = [[] if x.data is None else postings(x.data) for x in entries]
        desk, book = self._load(entries, moves)
        edges = {*self._edges, *self._known.territory.edges, *self._outcome.streams}
        for entry, posted in zip(entries, moves, strict=True):
            if entry.event is None or entry.data is None:
                continue
            try:
                for rule, cell, units in posted:
                    book.post(rule, cell, units, entry.edge_id)
                for misfit in hub.apply(desk, entry.edge_id, entry.event, entry.data):
                    self._note(misfit, entry)
            except Exception as error:
                fault = InternalError(f"{type(error).__name__}: {error}")
                # One bad event must not stop all edges. Nothing in this block asks the disk.
                raise UnfitError(entry.key, fault) from error
            self._pass_on(entry, entry.data, edges)
        self._share_out(book, desk, self._known.territory)
        views.save_book(self._connection, book)
        views.save_desk(self._connection, desk)

    def _load(self, entries: list[Entry], moves: list[list[Posting]]) -> tuple[Desk, Book]:
        order_ids, task_ids, skus = set(), set(), set()
        for entry in entries:
            if entry.event is not None and entry.data is not None:
                order_id, task_id = hub.mentions(entry.event, entry.data)
                order_ids.add(order_id)
                task_ids.add(task_id)
                skus |= _parked_skus(entry.data)
        skus |= {cell[1] for posted in moves for rule, cell, _ in posted if rule == "receive"}
        cells = {cell for posted in moves for _, cell, _ in posted}
        return (
            views.load_desk(
                self._connection,
                {x for x in order_ids if x is not None},
                {x for x in task_ids if x is not None},
                skus,
            ),
            views.load_book(self._connection, cells, skus),
        )

    def _pass_on(self, entry: Entry, data: Data, edges: set[str]) -> None:
        territory = self._known.territory
        for edge_id in destinations(entry.edge_id, data, territory, edges):
            self._feed(edge_id, "event", entry.raw)
        if isinstance(data, PickRequested) and data.node_id not in territory.home:
            self._note(Misfit("unknown_node", f"no network has node {data.node_id}"), entry)

    def _share_out(
        self, book: Book, desk: Desk, territory: Territory, *, everywhere: bool = False
    ) -> None:
        for edge_id, cell in book.share_moves:
            if book.shares[cell][edge_id] < 0:
                detail = f"{edge_id} has committed more of {cell} than it was ever granted"
                self._note(Misfit("oversold", detail))
        grants: Grants = {}
        for line in self._policy.relieve(book, desk.waiting.values(), grants):
            desk.changed_waiting.add((line.order_id, line.line))
        self._policy.settle(
            book, territory, list(book.balances if everywhere else book.moves), grants
        )
        for edge_id, body in grant_bodies(grants):
            self._feed(edge_id, "grant", body)
        for cell, move in book.moves.items():
            assert book.conserved(cell), cell
            if move.pool < 0 and book.balances[cell].pool < 0:
                detail = f"{cell} is {-book.balances[cell].pool} units below what is promised"
                self._note(Misfit("stock_debt", detail))

    def _finish(self) -> Outcome:
        streams.save_streams(self._connection, self._outcome.streams.values())
        streams.append_feed(self._connection, self._items)
        views.save_exceptions(self._connection, self._outcome.misfits, self._now_ms)
        return self._outcome


def _parked_skus(data: Data) -> set[str]:
    match data:
        case OrderAccepted(parked=parked) | OrderParked(parked=parked):
            return {x.sku for x in parked if x.reason == "share"}
        case RoutePlanned(order_id=str(), parked=parked):
            return {x.sku for x in parked if x.reason == "share"}
        case _:
            return set()
