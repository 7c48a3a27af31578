"""The lines of a file that holds a ledger, or a part of one: see `central.archive`."""

import gzip
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Annotated, Any, ClassVar, Final, Literal, TypeAlias, cast

import msgspec
from msgspec import Meta, Raw, Struct
from msgspec.structs import asdict

from central.checkpoint import Head, Hex, Signed
from shared.errors import PointsmanError


class ArchiveError(PointsmanError):
    """A file is no exported ledger, or cannot be read or written."""

    code: ClassVar[str] = "archive"


Number = Annotated[int, Meta(ge=1, le=2**62)]


class _Line(Struct, frozen=True, kw_only=True, tag_field="kind", omit_defaults=True):
    pass


class Start(Struct, frozen=True, kw_only=True):
    """Where a part of a ledger begins.

    Attributes:
        position: of the last entry before it.
        heads: where all streams stood there.
        checkpoint: the last one before it, and its hash.
        before: see `checkpoint`.
    """

    position: Number
    heads: list[Head]
    checkpoint: Number
    before: Hex


class First(_Line, frozen=True, kw_only=True, tag="ledger"):
    """The first line; `after` is set in a file that holds a later part of a ledger."""

    version: Literal[1]
    after: Start | None = None


class Place(_Line, frozen=True, kw_only=True):
    """Where an entry stands; `poison`: code and detail of why it has no effect."""

    position: Number
    edge_id: str
    epoch: Number
    sequence: Number
    hash: Hex
    received_ms: int | None = None
    poison: tuple[str, str] | None = None


class EntryLine(Place, frozen=True, kw_only=True, tag="entry"):
    """An entry in the edge's own bytes."""

    event: Raw


class PackedLine(Place, frozen=True, kw_only=True, tag="packed"):
    """An entry whose bytes would not stay on one line."""

    event: bytes


class ReplayLine(_Line, frozen=True, kw_only=True, tag="replay"):
    """An entry that was poison has its effect here."""

    edge_id: str
    epoch: Number
    sequence: Number


class CheckpointLine(_Line, frozen=True, kw_only=True, tag="checkpoint"):
    """A checkpoint, where it was made."""

    number: Number
    position: Number
    body: str
    signature: Annotated[str, Meta(pattern=r"^([0-9a-f]{2})*$")]

    def signed(self) -> Signed:
        """As it is kept in the database."""
        signature = bytes.fromhex(self.signature)
        return Signed(self.number, self.position, self.body.encode("utf-8"), signature)


class Last(_Line, frozen=True, kw_only=True, tag="end"):
    """The ends of all streams."""

    streams: list[Head]


AnyLine: TypeAlias = First | EntryLine | PackedLine | ReplayLine | CheckpointLine | Last
_decoder = msgspec.json.Decoder(AnyLine)
_encoder = msgspec.json.Encoder()


def entry_line(
    position: int,
    edge_id: str,
    epoch: int,
    sequence: int,
    digest: bytes,
    raw: bytes,
    received_ms: int | None,
    poison: tuple[str, str] | None,
) -> EntryLine | PackedLine:
    """The line of an entry."""
    place = Place(
        position=position,
        edge_id=edge_id,
        epoch=epoch,
        sequence=sequence,
        hash=digest.hex(),
        received_ms=received_ms,
        poison=poison,
    )
    if b"\n" in raw:
        return PackedLine(**asdict(place), event=raw)
    return EntryLine(**asdict(place), event=Raw(raw))


def lines_of(
    row: Any,
    faults: Mapping[tuple[str, int, int], tuple[str, str]],
    replays: Mapping[int, Iterable[tuple[str, int, int]]],
) -> Iterator[AnyLine]:
    """The lines of an entry: itself, and what got its effect when the ledger ended with it.

    Args:
        row: of `central.ledger.rows_of`, or `central.history.Row`.
        faults: code and detail of each entry that has no effect.
        replays: by position, the entries that got theirs there.
    """
    position, edge_id, epoch, sequence, digest, raw, received_ms = row[:7]
    poison = faults.get((edge_id, epoch, sequence))
    yield entry_line(position, edge_id, epoch, sequence, digest, raw, received_ms, poison)
    for replayed in replays.get(position, ()):
        yield ReplayLine(edge_id=replayed[0], epoch=replayed[1], sequence=replayed[2])


def checkpoint_line(signed: Signed) -> CheckpointLine:
    """The line of a checkpoint."""
    return CheckpointLine(
        number=signed.number,
        position=signed.position,
        body=signed.body.decode("utf-8"),
        signature=signed.signature.hex(),
    )


def encode(line: AnyLine) -> bytes:
    """The bytes of a line."""
    return _encoder.encode(line) + b"\n"


def read_lines(path: Path, *, packed: bool | None = None) -> Iterator[AnyLine]:
    """The lines of a file.

    Args:
        path: the file.
        packed: with gzip; None: if its name ends in .gz.

    Raises:
        ArchiveError: the file is no exported ledger, or is cut off.
    """
    number, line = 0, None
    try:
        with opened(path, "rb", packed=packed) as file:
            for number, text in enumerate(file, 1):
                if isinstance(line, Last) or (number == 1) != text.startswith(_FIRST):
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
    if not isinstance(line, Last):
        raise ArchiveError(
            "the file is cut off",
            place=f"{path}, line {number + 1}",
            expected="a last line with the ends of all streams",
        )


_FIRST: Final = b'{"kind":"ledger"'


def opened(path: Path, mode: Literal["rb", "wb"], *, packed: bool | None = None) -> IO[bytes]:
    """The file; packed with gzip, if nothing else is said, where its name ends in .gz."""
    if path.suffix == ".gz" if packed is None else packed:
        return cast("IO[bytes]", gzip.open(path, mode, compresslevel=3))
    return path.open(mode)
