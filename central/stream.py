"""An edge's stream: what of a batch comes next, and the chain that binds it. Pure."""

import hashlib
from collections.abc import Iterable
from typing import Annotated, ClassVar, NamedTuple

import msgspec
from msgspec import Meta, Struct

from shared.envelope import Event, decode_data, decode_event
from shared.errors import GapError, InvalidEnvelopeError, PointsmanError
from shared.events import Data
from shared.topics import edge_source


class WrongEpochError(PointsmanError):
    """An edge speaks in an epoch that is not its stream's: a restored backup, a cloned disk."""

    code: ClassVar[str] = "wrong_epoch"


class ForgottenError(PointsmanError):
    """One side has forgotten what the other remembers: a disk or a database was restored."""

    code: ClassVar[str] = "forgotten"


class Stream(Struct):
    """Where an edge's stream and its feed stand.

    Attributes:
        epoch: 0 until the edge has been heard.
        sequence: the ledger holds the stream through here.
        head: hash of the last entry, or the stream's genesis.
        feed_next: number of the next feed item.
        feed_acked: the edge has applied its feed through here.
    """

    edge_id: str
    epoch: int = 0
    sequence: int = 0
    head: bytes = b""
    feed_next: int = 1
    feed_acked: int = 0
    last_seen_ms: int = 0

    def open(self, epoch: int) -> None:
        """Begin the stream, or check that it goes on in the epoch in which it began.

        Raises:
            WrongEpochError: it does not.
        """
        if self.epoch == 0:
            self.epoch, self.head = epoch, genesis(self.edge_id, epoch)
        elif epoch != self.epoch:
            raise WrongEpochError(
                f"{self.edge_id} speaks in epoch {epoch}; its stream is in epoch {self.epoch}",
                place="$.epoch",
                expected=f"epoch {self.epoch}; an operator decides about another one",
            )


class Entry(NamedTuple):
    """One event of a stream, in its place.

    `event` is None if not even the envelope can be read; `data` is None for a poison event,
    and `fault` says why.
    """

    edge_id: str
    epoch: int
    sequence: int
    raw: bytes
    hash: bytes
    event: Event | None
    data: Data | None
    fault: PointsmanError | None

    @property
    def key(self) -> tuple[str, int, int]:
        """What identifies the entry."""
        return self.edge_id, self.epoch, self.sequence


class _Place(Struct):
    """All that is needed of a broken envelope to keep the stream whole."""

    sequence: Annotated[str, Meta(pattern=r"^[0-9]{16}$")]
    epoch: Annotated[int, Meta(ge=1, le=2**31 - 1)]


_place_decoder = msgspec.json.Decoder(_Place)


def genesis(edge_id: str, epoch: int) -> bytes:
    """The hash before the first entry of a stream."""
    return hashlib.sha256(f"{edge_id}\0{epoch}".encode()).digest()


def link(previous: bytes, raw: bytes) -> bytes:
    """The hash of an entry: it covers all entries before it."""
    return hashlib.sha256(previous + raw).digest()


def take(stream: Stream, raws: Iterable[bytes]) -> tuple[list[Entry], PointsmanError | None]:
    """The entries of a batch that come next, and what stopped it short, if anything.

    The stream is moved forward past what was taken. What it has already is skipped: an edge
    sends again what it has no acknowledgement for.

    Returns:
        `GapError` if something before is missing; `InvalidEnvelopeError` at an event that
        cannot be placed; `WrongEpochError`.
    """
    entries: list[Entry] = []
    for raw in raws:
        event: Event | None = None
        data: Data | None = None
        fault: PointsmanError | None = None
        try:
            event = decode_event(raw)
            epoch, sequence = event.epoch or 0, event.number()
        except PointsmanError as error:
            fault = error
            try:
                place = _place_decoder.decode(raw)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                return entries, InvalidEnvelopeError(
                    f"an event after position {stream.sequence} has no place: {fault}",
                    expected="sequence and epoch",
                )
            epoch, sequence = place.epoch, int(place.sequence)
        try:
            stream.open(epoch)
        except WrongEpochError as error:
            return entries, error
        if sequence <= stream.sequence:
            continue
        if sequence != stream.sequence + 1:
            return entries, GapError(
                f"position {sequence} after {stream.sequence}",
                place="$.sequence",
                expected=f"position {stream.sequence + 1}",
            )
        if fault is None and event is not None:
            fault = _impostor(stream, event)
        if fault is None and event is not None:
            try:
                data = decode_data(event)
            except PointsmanError as error:
                fault = error
        stream.sequence = sequence
        stream.head = link(stream.head, raw)
        entries.append(Entry(stream.edge_id, epoch, sequence, raw, stream.head, event, data, fault))
    return entries, None


def _impostor(stream: Stream, event: Event) -> PointsmanError | None:
    """An edge's decisions stand in its own stream only: a folder that changed hands shows here."""
    if event.source.startswith("/edges/") and event.source != edge_source(stream.edge_id):
        return InvalidEnvelopeError(
            f"an event of {event.source[:100]} in the stream of {stream.edge_id}",
            place="$.source",
            expected=edge_source(stream.edge_id),
        )
    return None
