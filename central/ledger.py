"""The ledger: every event of every edge, in the bytes that the edge has sent, chained.

The hash of an entry covers the one before in the same stream and its own bytes; the columns
beside are read from those bytes, and are held against them when the ledger is verified.
"""

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import Struct
from sqlalchemy import Connection, bindparam, func, select

from central.chains import BrokenError, Verdict, Walk
from central.checkpoint import Head, Signatures, Signed, Signer
from central.database import Location, count_on, insert_all, reading
from central.history import among, beside, chained, load_archives
from central.stream import Entry, Stream
from central.tables import checkpoints, epochs, ledger, streams
from shared.envelope import Event, decode_event
from shared.errors import PointsmanError

_FROM_BYTES: Final = ("event_id", "source", "type", "correlation_id", "causation_id", "hlc")
_UNREAD: Final = (None,) * len(_FROM_BYTES)
_PLACES: Final = [ledger.c[x] for x in ("position", "edge_id", "epoch", "sequence", "hash")]
_HEADS: Final = select(*_PLACES).where(ledger.c.position > bindparam("after"))
_ROWS: Final = select(
    *_PLACES, ledger.c.raw, ledger.c.received_ms, *(ledger.c[x] for x in _FROM_BYTES)
)
_CHECKPOINTS: Final = select(checkpoints).order_by(checkpoints.c.number)
_LAST_CHECKPOINT: Final = select(checkpoints).order_by(checkpoints.c.number.desc()).limit(1)


def append(connection: Connection, entries: Iterable[Entry], received_ms: int) -> None:
    """Write entries to the ledger. `central.stream` has put them in order and chained them."""
    insert_all(connection, ledger, [_row(entry, received_ms) for entry in entries])


def restore(connection: Connection, entries: Iterable[tuple[int, Entry, int | None]]) -> None:
    """Write entries to the ledger at the positions, and of the times, that they had in another."""
    rows = [{"position": at} | _row(entry, received_ms) for at, entry, received_ms in entries]
    insert_all(connection, ledger, rows)
    count_on(connection, ledger.c.position)


def _row(entry: Entry, received_ms: int | None) -> dict[str, Any]:
    return {
        "edge_id": entry.edge_id,
        "epoch": entry.epoch,
        "sequence": entry.sequence,
        "raw": entry.raw,
        "hash": entry.hash,
        "received_ms": received_ms,
        **dict(zip(_FROM_BYTES, _columns(entry.event), strict=True)),
    }


def _columns(event: Event | None) -> tuple[str | None, ...]:
    if event is None:
        return _UNREAD
    return (
        event.id, event.source, event.type, event.correlationid, event.causationid, event.hlc,
    )  # fmt: skip


def save_ends(connection: Connection, ended: Iterable[Stream]) -> None:
    """Keep where epochs have ended, so that a missing end of theirs is found."""
    insert_all(
        connection,
        epochs,
        [
            {"edge_id": x.edge_id, "epoch": x.epoch, "sequence": x.sequence, "head": x.head}
            for x in ended
        ],
    )


def end_of(connection: Connection, edge_id: str, epoch: int) -> int:
    """Where an epoch that is over has ended; 0 if the ledger has nothing of it."""
    query = select(epochs.c.sequence).where(epochs.c.edge_id == edge_id, epochs.c.epoch == epoch)
    return connection.scalar(query) or 0


def differing(
    connection: Connection, edge_id: str, repeats: list[tuple[int, int, bytes]]
) -> list[tuple[int, int]]:
    """Positions (epoch, sequence) where an edge now says something else than it said before."""
    said = {(epoch, sequence): raw for epoch, sequence, raw in repeats}
    found = []
    for epoch in sorted({epoch for epoch, _ in said}):
        places = [sequence for of, sequence in said if of == epoch]
        query = select(ledger.c.sequence, ledger.c.raw).where(
            ledger.c.edge_id == edge_id,
            ledger.c.epoch == epoch,
            ledger.c.sequence.between(min(places), max(places)),
        )
        for sequence, raw in connection.execute(query):
            if said.get((epoch, sequence), raw) != raw:
                found.append((epoch, sequence))
    return found


def verify(
    connection: Connection,
    trusted: Iterable[Ed25519PublicKey] = (),
    folder: Path | None = None,
    *,
    archived: bool = True,
) -> Verdict:
    """Walk all chains in the order of positions; find the first place that is not as written.

    Args:
        connection: inside a transaction.
        trusted: see `central.checkpoint.Signatures`.
        folder: of the archive files.
        archived: False: believe the checkpoints about what is in archive files.
    """
    walk = Walk(Signatures(trusted))
    try:
        _walk(connection, walk, folder, archived=archived)
    except BrokenError as error:
        return error.verdict
    return walk.verdict()


def _walk(connection: Connection, walk: Walk, folder: Path | None, *, archived: bool) -> None:
    skipped = 0 if archived else _skip(connection, walk)
    with _history(connection, folder, skipped, archived=archived) as rows:
        for row in rows:
            if isinstance(row, Signed):
                walk.checkpoint(row)
                continue
            position, edge_id, epoch, sequence, digest, raw = row[:6]
            walk.take(position, edge_id, epoch, sequence, raw, digest)
            columns = row[7:]
            if columns and not _fit(columns, raw):
                reason = "a column differs from the bytes"
                raise walk.broken(position, edge_id, epoch, sequence, reason)
    walk.end(load_ends(connection))
    known = load_archives(connection)
    if known and walk.covered < known[-1].last:
        reason = f"the checkpoint is missing at which the archive file {known[-1].file} ends"
        raise walk.broken(walk.covered + 1, reason=reason)


def _skip(connection: Connection, walk: Walk) -> int:
    """Let a walk begin behind the archives, by the signed heads; returns the position."""
    known = load_archives(connection)
    if not known:
        return 0
    last = known[-1]
    with closing(load_checkpoints(connection)) as found:
        for signed in found:
            if signed.position <= last.last:
                walk.skip(signed)
    if msgspec.json.encode(walk.heads()) != last.heads:
        reason = f"the heads that were kept with the archive file {last.file} are not those signed"
        raise walk.broken(last.last, reason=reason)
    return last.last


@contextmanager
def history(connection: Connection, folder: Path | None = None) -> Iterator[Iterator[Any]]:
    """All entries with the checkpoints among them, each where it was made.

    Those in archive files come first, as `central.history.Row`; then those of `rows_of`. For the
    length of a `with`: a server keeps cursors for it.
    """
    with _history(connection, folder, 0, archived=True) as rows:
        yield rows


@contextmanager
def _history(
    connection: Connection, folder: Path | None, skipped: int, *, archived: bool
) -> Iterator[Iterator[Any]]:
    with closing(load_checkpoints(connection)) as signed, closing(rows_of(connection)) as rows:
        every = chained(connection, folder, rows) if archived else rows
        yield among(every, (x for x in signed if x.position > skipped))


def verify_file(
    location: Location,
    trusted: Iterable[Ed25519PublicKey] = (),
    folder: Path | None = None,
    *,
    archived: bool = True,
) -> Verdict:
    """Verify the ledger of a central that may be running: the database is only read.

    Args:
        location: of central's database.
        trusted: see `verify`.
        folder: of the archive files; by default the one beside a database in a folder.
        archived: see `verify`.

    Raises:
        ConfigError: there is no database.
    """
    with reading(location) as connection:
        return verify(connection, trusted, beside(location, folder), archived=archived)


def received_over_ms(location: Location) -> int:
    """Milliseconds between the first and the last entry that the ledger has, as central has them.

    Raises:
        ConfigError: there is no database.
    """
    at = ledger.c.received_ms
    with reading(location) as connection:
        return connection.scalar(select(func.max(at) - func.min(at))) or 0


def rows_of(connection: Connection) -> Generator[Any]:
    """All rows, in the order of positions; to be closed.

    Their columns are position, edge id, epoch, sequence, hash, bytes, when central took
    it in, and what is read from the bytes.
    """
    with connection.execute(
        _ROWS.order_by(ledger.c.position), execution_options={"yield_per": 500}
    ) as rows:
        for part in rows.partitions():
            yield from part


def load_ends(connection: Connection) -> list[tuple[str, int, int, bytes]]:
    """Where every stream was acknowledged: edge id, epoch, sequence, hash."""
    found = []
    for table in (epochs, streams):
        place = (table.c.edge_id, table.c.epoch)
        query = select(*place, table.c.sequence, table.c.head).order_by(*place)
        found += [(*row,) for row in connection.execute(query)]
    return found


def load_checkpoints(connection: Connection) -> Generator[Signed]:
    """All, in order; to be closed."""
    with connection.execute(_CHECKPOINTS, execution_options={"yield_per": 100}) as rows:
        for row in rows:
            yield Signed(*row)


def last_checkpoint(connection: Connection) -> Signed | None:
    """The newest."""
    row = connection.execute(_LAST_CHECKPOINT).first()
    return None if row is None else Signed(*row)


def last_position(connection: Connection) -> int:
    """Of the newest entry; 0 if there is none."""
    return connection.scalar(select(func.max(ledger.c.position))) or 0


def uncovered(connection: Connection) -> int:
    """About how many entries no checkpoint covers yet."""
    end = select(func.coalesce(func.max(ledger.c.position), 0)).scalar_subquery()
    covered = select(func.coalesce(func.max(checkpoints.c.position), 0)).scalar_subquery()
    return int(connection.execute(select(end - covered)).scalar_one())


def checkpoint(connection: Connection, signer: Signer, entries_max: int, now_ms: int) -> Signed:
    """Make and keep the next checkpoint; it covers at most so many entries, and at least one."""
    last = last_checkpoint(connection)
    covered = 0 if last is None else last.position
    rows = connection.execute(
        _HEADS.order_by(ledger.c.position).limit(entries_max), {"after": covered}
    ).all()
    assert rows, "nothing to sign"
    heads = {(x.edge_id, x.epoch): Head(x.edge_id, x.epoch, x.sequence, x.hash.hex()) for x in rows}
    signed = signer.sign(last, rows[-1].position, heads.values(), now_ms)
    keep_checkpoint(connection, signed)
    return signed


def keep_checkpoint(connection: Connection, signed: Signed) -> None:
    """Write a checkpoint."""
    insert_all(connection, checkpoints, [signed._asdict()])


class _Attributes(Struct, gc=False):
    """What the columns are read from, and nothing else: most of the time of a walk is reading."""

    id: str
    source: str
    type: str
    correlationid: str | None = None
    causationid: str | None = None
    hlc: str | None = None


_attributes: Final = msgspec.json.Decoder(_Attributes)


def _fit(columns: tuple[str | None, ...], raw: bytes) -> bool:
    """Whether columns are those of the bytes; all empty if these cannot be read as an event."""
    try:
        x = _attributes.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return columns == _columns(_read(raw))
    found = (x.id, x.source, x.type, x.correlationid, x.causationid, x.hlc)
    return columns == found or columns == _columns(_read(raw))


def _read(raw: bytes) -> Event | None:
    try:
        event = decode_event(raw)
        event.number()
    except PointsmanError:
        return None
    return event
