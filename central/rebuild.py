"""The views from the ledger alone: the same that were made while the events came in.

What follows from the ledger: orders, tasks, waiting lines; commands to systems, their answers and
beliefs; of the stock accounts all but the split between pool and shares; exceptions that say that
an event did not fit. What does not, and stays as it is, is what central has decided or seen
besides: shares, recalls, feeds, fences, networks and other documents, and exceptions about those.

Two things that central has done are read besides the ledger, since they say which events had
their effect and when: which events are poison, and which were replayed after which position.
"""

from collections.abc import Iterator, Set
from contextlib import closing
from itertools import chain, islice
from pathlib import Path
from typing import Final, NamedTuple

from central import correspondence, devices, holdings, hub, ingest, ledger, views
from central.accounts import Book, postings
from central.burst import Key, UnfitError
from central.chains import require_whole
from central.database import (
    Database,
    Location,
    close_database,
    open_database,
    require_database,
    sole_writer,
    transaction,
)
from central.desk import Misfit
from central.digest import Digest, digests
from central.history import beside, chained
from central.stream import Entry, again
from shared.errors import InternalError

CHUNK: Final = 2_000
"""Events that are taken in at a time. It makes no difference to what comes out."""


class Rebuilt(NamedTuple):
    """What a rebuild did: how many events had an effect, and how many turned out to be poison."""

    events: int
    poisoned: int


class Comparison(NamedTuple):
    """A rebuild, and hashes by table before it and after it: see `central.digest`."""

    done: Rebuilt
    before: dict[str, Digest]
    after: dict[str, Digest]

    def differing(self) -> list[str]:
        """Tables that the rebuild has changed."""
        return [name for name, digest in self.before.items() if digest != self.after[name]]


def rebuild(connection: Database, now_ms: int, folder: Path | None = None) -> Rebuilt:
    """Make the views anew.

    An event that is poison stays so, though the present code may read it: its effect is more
    than the views, and `replay` brings it. An exception that is found again keeps its number
    and its time.

    Args:
        connection: inside a transaction, over a ledger that `verify` has found whole.
        now_ms: when exceptions are noted that were not there before.
        folder: of the archive files.

    Raises:
        BrokenError: an archive file is missing, or is not what was written.
    """
    poison = views.load_faults(connection).keys()
    replays = views.load_replays(connection)
    views.forget_events(connection)
    holdings.forget_events(connection)
    devices.forget_events(connection)
    correspondence.forget_events(connection)
    noted: list[tuple[Entry, Misfit]] = []
    events = poisoned = 0
    read = _entries(connection, folder, poison, replays)
    while part := list(islice(read, CHUNK)):
        faults = [x for x in part if x.fault is not None]
        good = [x for x in part if x.fault is None]
        while True:
            try:
                noted += _take_in(connection, good)
                break
            except UnfitError as error:
                # As in ingest: each round takes one event's effect out, so this ends.
                unfit = next(x for x in good if x.key == error.key)
                faults.append(unfit._replace(fault=error.fault))
                good.remove(unfit)
        views.save_poison(connection, faults)
        events += len(good)
        poisoned += len(faults)
    views.replace_exceptions(connection, noted, now_ms)
    return Rebuilt(events, poisoned)


def _entries(
    connection: Database, folder: Path | None, poison: Set[Key], replays: dict[int, list[Key]]
) -> Iterator[Entry]:
    """All entries but those that are poison, in the order in which they had their effects."""
    later = set(chain.from_iterable(replays.values())) - poison
    kept: dict[Key, tuple[bytes, bytes]] = {}
    with closing(ledger.rows_of(connection)) as rows:
        for position, edge_id, epoch, sequence, digest, raw, *_ in chained(
            connection, folder, rows
        ):
            key = (edge_id, epoch, sequence)
            if key in later:
                kept[key] = raw, digest
            elif key not in poison:
                yield again(*key, raw, digest)
            for replayed in replays.get(position, ()):
                if replayed in kept:
                    yield again(*replayed, *kept.pop(replayed))


def _take_in(connection: Database, entries: list[Entry]) -> list[tuple[Entry, Misfit]]:
    """Apply entries to the views; returns what did not fit.

    Raises:
        UnfitError: an event that met a fault of ours; nothing was written.
    """
    desk = views.load_desk(connection, *ingest.mentioned(entries))
    dealings = correspondence.load_of(connection, entries)
    moves = [[] if x.data is None else postings(x.data) for x in entries]
    book = Book()
    holdings.load_cells(connection, book, {cell for posted in moves for _, cell, _ in posted})
    noted = []
    for entry, posted in zip(entries, moves, strict=True):
        assert entry.event is not None
        assert entry.data is not None
        try:
            for rule, cell, units in posted:
                # The shares are as they are: what is said of them is the pool's other side.
                book.post(rule, cell, units, entry.edge_id, late=True)
            order = desk.orders.get(entry.event.correlationid or "")
            state = None if order is None else order.state
            misfits = dealings.apply(entry.edge_id, entry.event, entry.data, state)
            misfits += hub.apply(desk, entry.edge_id, entry.event, entry.data)
        except Exception as error:
            fault = InternalError(f"{type(error).__name__}: {error}")
            raise UnfitError(entry.key, fault) from error
        noted += [(entry, misfit) for misfit in misfits]
    views.save_desk(connection, desk)
    devices.follow(connection, entries)
    correspondence.save(connection, dealings)
    holdings.save_book(connection, book)
    return noted


def rebuild_file(
    location: Location, *, now_ms: int, keep: bool = True, folder: Path | None = None
) -> Comparison:
    """Rebuild the views of a central that is stopped, and compare them with what was there.

    Args:
        location: of central's database.
        now_ms: see `rebuild`.
        keep: False: only compare, and leave all as it was.
        folder: of the archive files; by default the one beside a database in a folder.

    Raises:
        ConfigError: there is no database, or central runs.
        BrokenLedgerError: the ledger is not whole; nothing was changed.
        StorageError: the database could not do it; nothing was changed.
    """
    require_database(location)
    folder = beside(location, folder)
    with sole_writer(location):
        connection = open_database(location)
        try:
            with transaction(connection):
                require_whole(ledger.verify(connection, (), folder))
                before = digests(connection)
                done = rebuild(connection, now_ms, folder)
                comparison = Comparison(done, before, digests(connection))
                if not keep:
                    connection.rollback()
                return comparison
        finally:
            close_database(connection)
