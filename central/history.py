"""The part of the ledger that was moved to archive files: which files, and their entries."""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, func, select

from central.chains import BrokenError, Verdict
from central.checkpoint import Signed
from central.database import Location, reading
from central.export_lines import EntryLine, PackedLine, read_lines
from central.tables import archives

FOLDER: Final = "archive"
"""Name of the folder in central's `data_dir`, where the configuration names none."""

_ARCHIVES: Final = select(archives).order_by(archives.c.number)


def beside(location: Location, folder: Path | None) -> Path | None:
    """The folder of the archive files: `folder`, or the one beside a database in a folder."""
    if folder is None and isinstance(location, Path):
        return location / FOLDER
    return folder


class Row(NamedTuple):
    """An entry, as the first columns of `central.ledger.rows_of`."""

    position: int
    edge_id: str
    epoch: int
    sequence: int
    hash: bytes
    raw: bytes
    received_ms: int | None


class Archived(NamedTuple):
    """A part of the ledger in a file.

    Attributes:
        first, last: positions.
        entries: how many.
        file: its name in the folder.
        sha256: of the file, hex.
        heads: of all streams at its end, JSON of a list of `central.checkpoint.Head`.
        digest: what its rows add to the ledger's digest, see `central.digest`.
        at_ms: when it was moved; milliseconds since 1970 UTC.
    """

    number: int
    first: int
    last: int
    entries: int
    file: str
    sha256: str
    heads: bytes
    digest: str
    at_ms: int


def load_archives(connection: Connection) -> list[Archived]:
    """All, the oldest first."""
    return [Archived(*row) for row in connection.execute(_ARCHIVES)]


def last_archived(connection: Connection) -> int:
    """Through which position the ledger is in archive files; 0: nothing is."""
    return connection.scalar(select(func.max(archives.c.last))) or 0


def archived_through(location: Location) -> int:
    """The same, of a central that may be running.

    Raises:
        ConfigError: there is no database.
    """
    with reading(location) as connection:
        return last_archived(connection)


def archived_rows(connection: Connection, folder: Path | None) -> Iterator[Row]:
    """The entries that are in archive files, in the order of positions.

    Args:
        connection: inside a transaction.
        folder: of the files; None: they are out of reach.

    Raises:
        BrokenError: a file is missing, or is not what was written.
    """
    for archive in load_archives(connection):
        path = None if folder is None else folder / archive.file
        if path is None or not path.is_file():
            raise _broken(archive, "is missing")
        if sha256_of(path) != archive.sha256:
            raise _broken(archive, "is not the one that was written")
        for line in read_lines(path):
            if isinstance(line, EntryLine | PackedLine):
                digest, raw = bytes.fromhex(line.hash), bytes(line.event)
                place = line.position, line.edge_id, line.epoch, line.sequence
                yield Row(*place, digest, raw, line.received_ms)


def sha256_of(path: Path) -> str:
    """Of a file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def chained(connection: Connection, folder: Path | None, rows: Iterator[Any]) -> Iterator[Any]:
    """The archived rows, then `rows`."""
    yield from archived_rows(connection, folder)
    yield from rows


def among(rows: Iterable[Any], signed: Iterator[Signed]) -> Iterator[Any]:
    """Rows with the checkpoints among them, each where it was made."""
    due = next(signed, None)
    for row in rows:
        while due is not None and due.position < row.position:
            yield due
            due = next(signed, None)
        yield row
    if due is not None:
        yield due
    yield from signed


def _broken(archive: Archived, what: str) -> BrokenError:
    reason = f"the archive file {archive.file}, positions {archive.first} to {archive.last}, {what}"
    return BrokenError(Verdict(0, archive.first, reason=reason))
