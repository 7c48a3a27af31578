"""The ledger in a file: exported, verified without a database, imported into an empty central.

JSON lines, packed with gzip if the name ends in `.gz`. The first line names the format; then
come the entries in the order of their positions, each with its hash and the edge's own bytes,
with checkpoints and replays where they happened; the last line holds the ends of all streams.
"""

import gzip
import itertools
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import IO, Annotated, ClassVar, Final, Literal, cast

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import Meta, Raw, Struct

from central import ledger, streams, views
from central.chains import BrokenError, BrokenLedgerError, Verdict, Walk, require_whole
from central.checkpoint import Head, Hex, Signatures, Signed
from central.database import (
    Database,
    Location,
    close_database,
    open_database,
    open_reader,
    sole_writer,
    transaction,
)
from central.rebuild import rebuild
from central.stream import Stream, again
from shared.errors import PointsmanError
from shared.topics import HUB

CHUNK: Final = 1_000


class ArchiveError(PointsmanError):
    """A file is no exported ledger, or cannot be read or written."""

    code: ClassVar[str] = "archive"


class NotEmptyError(PointsmanError):
    """A central that has heard of edges already cannot take in another's ledger."""

    code: ClassVar[str] = "not_empty"


Number = Annotated[int, Meta(ge=1, le=2**62)]


class _Line(Struct, frozen=True, kw_only=True, tag_field="kind", omit_defaults=True):
    pass


class _First(_Line, frozen=True, kw_only=True, tag="ledger"):
    version: Literal[1]


class _Place(_Line, frozen=True, kw_only=True):
    position: Number
    edge_id: str
    epoch: Number
    sequence: Number
    hash: Hex
    received_ms: int | None = None
    poison: tuple[str, str] | None = None  # code and detail


class _Entry(_Place, frozen=True, kw_only=True, tag="entry"):
    event: Raw


class _Packed(_Place, frozen=True, kw_only=True, tag="packed"):
    """An entry whose bytes would not stay on one line."""

    event: bytes


class _Replay(_Line, frozen=True, kw_only=True, tag="replay"):
    edge_id: str
    epoch: Number
    sequence: Number


class _Checkpoint(_Line, frozen=True, kw_only=True, tag="checkpoint"):
    number: Number
    position: Number
    body: str
    signature: Annotated[str, Meta(pattern=r"^([0-9a-f]{2})*$")]


class _Last(_Line, frozen=True, kw_only=True, tag="end"):
    streams: list[Head]


_Any = _First | _Entry | _Packed | _Replay | _Checkpoint | _Last
_decoder = msgspec.json.Decoder(_Any)
_encoder = msgspec.json.Encoder()


def export_file(location: Location, path: Path) -> int:
    """Write the ledger of a central that may be running to a file; returns how many entries.

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
            _opened(partial, "wb", packed=_is_packed(path)) as file,
            closing(_lines_of(connection, walk)) as lines,
        ):
            for line in lines:
                file.write(_encoder.encode(line) + b"\n")
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


def _lines_of(connection: Database, walk: Walk) -> Generator[_Any]:
    faults = views.load_faults(connection)
    replays = views.load_replays(connection)
    yield _First(version=1)
    with closing(ledger.history(connection)) as rows:
        for row in rows:
            if isinstance(row, Signed):
                walk.checkpoint(row)
                body = row.body.decode("utf-8")
                signature = row.signature.hex()
                yield _Checkpoint(
                    number=row.number, position=row.position, body=body, signature=signature
                )
                continue
            position, edge_id, epoch, sequence, digest, raw = row[:6]
            walk.take(position, edge_id, epoch, sequence, raw, digest)
            poison = faults.get((edge_id, epoch, sequence))
            packed = b"\n" in raw
            yield (_Packed if packed else _Entry)(
                position=position,
                edge_id=edge_id,
                epoch=epoch,
                sequence=sequence,
                hash=digest.hex(),
                received_ms=row.received_ms,
                poison=poison,
                event=raw if packed else Raw(raw),
            )
            for key in replays.get(position, ()):
                yield _Replay(edge_id=key[0], epoch=key[1], sequence=key[2])
    ends = ledger.load_ends(connection)
    walk.end(ends)
    yield _Last(streams=[Head(x, epoch, at, head.hex()) for x, epoch, at, head in ends if epoch])


def _walked(path: Path, walk: Walk) -> Iterator[_Any]:
    """The lines of a file, each held against those before it."""
    for line in _read(path):
        if isinstance(line, _Entry | _Packed):
            raw, digest = bytes(line.event), bytes.fromhex(line.hash)
            walk.take(line.position, line.edge_id, line.epoch, line.sequence, raw, digest)
        elif isinstance(line, _Checkpoint):
            walk.checkpoint(_signed(line))
        elif isinstance(line, _Last):
            ends = ((x.edge_id, x.epoch, x.sequence, bytes.fromhex(x.hash)) for x in line.streams)
            walk.end(ends)
        yield line


def _signed(line: _Checkpoint) -> Signed:
    return Signed(
        line.number, line.position, line.body.encode("utf-8"), bytes.fromhex(line.signature)
    )


def _restore(connection: Database, lines: Iterator[_Any], walk: Walk) -> None:
    position = 0
    while part := list(itertools.islice(lines, CHUNK)):
        entries, faults = [], []
        for line in part:
            if isinstance(line, _Entry | _Packed):
                position = line.position
                raw, digest = bytes(line.event), bytes.fromhex(line.hash)
                entry = again(line.edge_id, line.epoch, line.sequence, raw, digest)
                entries.append((position, entry, line.received_ms))
                if line.poison is not None:
                    faults.append((entry, line.poison))
            elif isinstance(line, _Replay):
                key = (line.edge_id, line.epoch, line.sequence)
                views.save_replays(connection, [key], position)
            elif isinstance(line, _Checkpoint):
                ledger.keep_checkpoint(connection, _signed(line))
            elif isinstance(line, _Last):
                _restore_streams(connection, line)
        ledger.restore(connection, entries)
        views.save_faults(connection, faults)


def _restore_streams(connection: Database, line: _Last) -> None:
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


def _read(path: Path) -> Iterator[_Any]:
    """The lines of a file.

    Raises:
        ArchiveError: see `verify_archive`.
    """
    number, line = 0, None
    try:
        with _opened(path, "rb", packed=_is_packed(path)) as file:
            for number, text in enumerate(file, 1):
                if isinstance(line, _Last) or (number == 1) != text.startswith(_FIRST):
                    raise ArchiveError(
                        "not what an export writes here",
                        place=f"{path}, line {number}",
                        expected="one whole file of `pointsman central export`",
                    )
                line = _decoder.decode(text)
                yield line
    except (OSError, EOFError, ValueError) as error:
        raise ArchiveError(
            f"cannot be read: {error}",
            place=f"{path}, line {number + 1}",
            expected="one whole file of `pointsman central export`",
        ) from None
    if not isinstance(line, _Last):
        raise ArchiveError(
            "the file is cut off",
            place=f"{path}, line {number + 1}",
            expected="a last line with the ends of all streams",
        )


_FIRST: Final = b'{"kind":"ledger"'


def _is_packed(path: Path) -> bool:
    return path.suffix == ".gz"


def _opened(path: Path, mode: Literal["rb", "wb"], *, packed: bool) -> IO[bytes]:
    if packed:
        return cast("IO[bytes]", gzip.open(path, mode, compresslevel=3))
    return path.open(mode)
