"""The ledger in a file: exported, verified without a database, imported into an empty central.

JSON lines, packed with gzip if the name ends in `.gz`. The first line names the format; then
come the entries in the order of their positions, each with its hash and the edge's own bytes,
with checkpoints and replays where they happened; the last line holds the ends of all streams.
"""

import itertools
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import ClassVar, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from central import ledger, streams, views
from central.chains import BrokenError, BrokenLedgerError, Verdict, Walk, require_whole
from central.checkpoint import Head, Signatures, Signed
from central.database import (
    Database,
    Location,
    close_database,
    open_database,
    open_reader,
    sole_writer,
    transaction,
)
from central.export_lines import (
    AnyLine,
    ArchiveError,
    CheckpointLine,
    EntryLine,
    First,
    Last,
    PackedLine,
    ReplayLine,
    checkpoint_line,
    encode,
    lines_of,
    opened,
    read_lines,
)
from central.history import beside
from central.rebuild import rebuild
from central.stream import Stream, again
from shared.errors import PointsmanError
from shared.topics import HUB

CHUNK: Final = 1_000


class NotEmptyError(PointsmanError):
    """A central that has heard of edges already cannot take in another's ledger."""

    code: ClassVar[str] = "not_empty"


def export_file(location: Location, path: Path, folder: Path | None = None) -> int:
    """Write the ledger of a central that may be running to a file; returns how many entries.

    Args:
        location: of central's database.
        path: the file.
        folder: of the archive files; by default the one beside a database in a folder.

    Raises:
        ConfigError: there is no database.
        BrokenLedgerError: the ledger is not whole; there is no file then.
        ArchiveError: the file cannot be written.
    """
    partial = path.with_name(path.name + ".partial")
    connection = open_reader(location)
    try:
        walk = Walk(Signatures())
        with (
            connection.begin(),
            opened(partial, "wb", packed=path.suffix == ".gz") as file,
            closing(_lines_of(connection, walk, beside(location, folder))) as lines,
        ):
            for line in lines:
                file.write(encode(line))
        partial.replace(path)
    except BrokenError as error:
        require_whole(error.verdict)
        raise
    except OSError as error:
        raise ArchiveError(
            f"cannot be written: {error}", place=str(path), expected="a folder with room"
        ) from None
    finally:
        close_database(connection)
        partial.unlink(missing_ok=True)
    return walk.entries


def verify_archive(path: Path, trusted: Iterable[Ed25519PublicKey] = ()) -> Verdict:
    """Verify an exported ledger as `central.ledger.verify` does one in the database.

    Raises:
        ArchiveError: the file is no exported ledger, or is cut off.
    """
    walk = Walk(Signatures(trusted))
    try:
        for _ in _walked(path, walk):
            pass
    except BrokenError as error:
        return error.verdict
    return walk.verdict()


def import_file(
    location: Location, path: Path, *, now_ms: int, trusted: Iterable[Ed25519PublicKey] = ()
) -> int:
    """Take an exported ledger into an empty central that is stopped, and make its views.

    All edges are fenced by it: their shares were the other central's.

    Args:
        location: of central's database; a folder is made if it does not exist.
        path: the file.
        now_ms: when exceptions are noted.
        trusted: see `central.checkpoint.Signatures`.

    Returns:
        How many entries.

    Raises:
        NotEmptyError: this central has heard of edges before; nothing was changed.
        BrokenLedgerError: the file is not whole; nothing was changed.
        ArchiveError: the file is no exported ledger, or is cut off; nothing was changed.
        ConfigError: the folder cannot be used, or central runs.
        StorageError: the database could not do it; nothing was changed.
    """
    with sole_writer(location):
        connection = open_database(location)
        try:
            with transaction(connection):
                if streams.load_streams(connection) or ledger.last_position(connection):
                    raise NotEmptyError(
                        "this central has heard of edges before",
                        place=str(location),
                        expected="an empty folder, one that does not exist, or an empty database",
                    )
                walk = Walk(Signatures(trusted))
                _restore(connection, _walked(path, walk), walk)
                rebuild(connection, now_ms)
        except BrokenError as error:
            raise BrokenLedgerError(
                str(error.verdict), place=str(path), expected="a file that `verify` passes"
            ) from None
        finally:
            close_database(connection)
    return walk.entries


def _lines_of(connection: Database, walk: Walk, folder: Path | None) -> Generator[AnyLine]:
    faults = views.load_faults(connection)
    replays = views.load_replays(connection)
    yield First(version=1)
    with ledger.history(connection, folder) as rows:
        for row in rows:
            if isinstance(row, Signed):
                walk.checkpoint(row)
                yield checkpoint_line(row)
                continue
            position, edge_id, epoch, sequence, digest, raw = row[:6]
            walk.take(position, edge_id, epoch, sequence, raw, digest)
            yield from lines_of(row, faults, replays)
    ends = ledger.load_ends(connection)
    walk.end(ends)
    yield Last(streams=[Head(x, epoch, at, head.hex()) for x, epoch, at, head in ends if epoch])


def _walked(path: Path, walk: Walk) -> Iterator[AnyLine]:
    """The lines of a file, each held against those before it."""
    for line in read_lines(path):
        if isinstance(line, First) and line.after is not None:
            after = line.after
            walk.resume(after.position, after.heads, after.checkpoint, after.before)
        if isinstance(line, EntryLine | PackedLine):
            raw, digest = bytes(line.event), bytes.fromhex(line.hash)
            walk.take(line.position, line.edge_id, line.epoch, line.sequence, raw, digest)
        elif isinstance(line, CheckpointLine):
            walk.checkpoint(line.signed())
        elif isinstance(line, Last):
            ends = ((x.edge_id, x.epoch, x.sequence, bytes.fromhex(x.hash)) for x in line.streams)
            walk.end(ends)
        yield line


def _restore(connection: Database, lines: Iterator[AnyLine], walk: Walk) -> None:
    position = 0
    while part := list(itertools.islice(lines, CHUNK)):
        entries, faults = [], []
        for line in part:
            if isinstance(line, EntryLine | PackedLine):
                position = line.position
                raw, digest = bytes(line.event), bytes.fromhex(line.hash)
                entry = again(line.edge_id, line.epoch, line.sequence, raw, digest)
                entries.append((position, entry, line.received_ms))
                if line.poison is not None:
                    faults.append((entry, line.poison))
            elif isinstance(line, ReplayLine):
                key = (line.edge_id, line.epoch, line.sequence)
                views.save_replays(connection, [key], position)
            elif isinstance(line, CheckpointLine):
                ledger.keep_checkpoint(connection, line.signed())
            elif isinstance(line, Last):
                _restore_streams(connection, line)
            elif line.after is not None:
                raise ArchiveError(
                    "this is a later part of a ledger",
                    place="line 1",
                    expected="the whole: `pointsman central export` writes it from all parts",
                )
        ledger.restore(connection, entries)
        views.save_faults(connection, faults)


def _restore_streams(connection: Database, line: Last) -> None:
    found: dict[str, Stream] = {}
    ended = []
    for head in sorted(line.streams, key=lambda x: (x.edge_id, x.epoch)):
        before = found.get(head.edge_id)
        if before is not None:
            ended.append(before)
        stream = found[head.edge_id] = Stream(head.edge_id)
        stream.begin(head.epoch)
        stream.sequence, stream.head = head.sequence, bytes.fromhex(head.hash)
    ledger.save_ends(connection, ended)
    for stream in found.values():
        if stream.edge_id != HUB:  # central's own stream goes on here
            stream.fence()
    streams.save_streams(connection, found.values())
