"""An edge's stream: what of a batch comes next, and the chain that binds it. Pure."""

import hashlib
from collections.abc import Iterable
from copy import copy
from typing import Annotated, ClassVar, Final, NamedTuple

import msgspec
from msgspec import Meta, Struct

from shared.envelope import Event, decode_data, decode_event
from shared.errors import GapError, InvalidEnvelopeError, PointsmanError
from shared.events import Data, EpochBegan, type_of
from shared.systems import SYSTEMS
from shared.topics import HUB, HUB_SOURCE, edge_source


class WrongEpochError(PointsmanError):
    """An edge speaks in an epoch that is not its stream's: a restored backup, a cloned disk."""

    code: ClassVar[str] = "wrong_epoch"


class ForgottenError(PointsmanError):
    """One side has forgotten what the other remembers: a disk or a database was restored."""

    code: ClassVar[str] = "forgotten"


class Stream(Struct):
    """Where an edge's stream and its feed stand.

    A fence takes the edge's shares back and raises `share_epoch`; the edge's next hello gets a
    rejoin into its feed; the stream goes on in that epoch with the edge's `epoch.began`. Until
    then, what comes is of an epoch before, and late.

    Attributes:
        epoch: 0 until the edge has been heard.
        sequence: the ledger holds the stream through here.
        head: hash of the last entry, or the stream's genesis.
        share_epoch: the edge's shares are of this epoch.
        fenced: no rejoin to `share_epoch` is in the feed yet.
        rejoin: number of the last rejoin in the feed; 0: there was none.
        restored: that rejoin replaces what the edge has.
        retold: number of the feed item that ends what such an edge was told; 0: not told yet.
        boot: the edge's start that central serves; empty: none.
        closed: a start that is behind was heard, and no other since.
        feed_next: number of the next feed item.
        feed_acked: the edge has applied its feed through here, or need not any more.
    """

    edge_id: str
    epoch: int = 0
    sequence: int = 0
    head: bytes = b""
    share_epoch: int = 0
    fenced: bool = False
    rejoin: int = 0
    restored: bool = False
    retold: int = 0
    boot: str = ""
    closed: bool = False
    feed_next: int = 1
    feed_acked: int = 0
    last_seen_ms: int = 0

    @property
    def epoch_max(self) -> int:
        """The last epoch that the edge was let into."""
        return max(self.epoch, self.share_epoch - self.fenced)

    def begin(self, epoch: int) -> None:
        """Go on in another epoch, from its start."""
        self.epoch, self.sequence, self.head = epoch, 0, genesis(self.edge_id, epoch)
        self.share_epoch = max(self.share_epoch, epoch)

    def is_late(self, epoch: int) -> bool:
        """Whether the shares that an entry of this epoch moves are the pools' already."""
        return epoch < self.share_epoch

    def open(self, epoch: int) -> None:
        """Begin the stream, or check that it is in an epoch that the edge was let into.

        Raises:
            WrongEpochError: it is not.
        """
        if self.epoch == 0:
            self.begin(epoch)
        elif epoch > self.epoch_max:
            raise WrongEpochError(
                f"{self.edge_id} speaks in epoch {epoch}; its stream is in epoch {self.epoch}",
                place="$.epoch",
                expected=f"epoch {self.epoch}; an operator fences an edge to begin another",
            )

    def fence(self) -> None:
        """The shares are the pools' again; whoever is heard next begins a new epoch."""
        self.share_epoch = max(self.epoch, self.share_epoch, 1) + 1
        self.fenced, self.closed, self.boot = True, False, ""


class Entry(NamedTuple):
    """One event of a stream, in its place.

    `event` is None if not even the envelope can be read; `data` is None for a poison event,
    and `fault` says why. `late` is what an epoch says whose shares were taken back.
    """

    edge_id: str
    epoch: int
    sequence: int
    raw: bytes
    hash: bytes
    event: Event | None
    data: Data | None
    fault: PointsmanError | None
    late: bool = False

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


class Taken(NamedTuple):
    """What became of a batch.

    Attributes:
        entries: what comes next on the stream, in order.
        repeats: what the ledger has already: an edge sends again what it has no
            acknowledgement for. Epoch, sequence, bytes.
        ended: epochs that ended in this batch: the stream as it stood at their end.
        refusal: what stopped the batch short: `GapError` if something before is missing;
            `InvalidEnvelopeError` at an event that cannot be placed; `WrongEpochError`.
    """

    entries: list[Entry]
    repeats: list[tuple[int, int, bytes]]
    ended: list[Stream]
    refusal: PointsmanError | None = None


def take(stream: Stream, raws: Iterable[bytes]) -> Taken:
    """What of a batch comes next; the stream is moved forward past what was taken."""
    taken = Taken([], [], [])
    try:
        for raw in raws:
            _take_one(stream, raw, taken)
    except (GapError, InvalidEnvelopeError, WrongEpochError) as error:
        return taken._replace(refusal=error)
    return taken


class Ahead(NamedTuple):
    """A batch that was read by a stream as it stood `before`, and is `after` it."""

    before: Stream
    after: Stream
    taken: Taken


def read_ahead(stream: Stream, raws: Iterable[bytes]) -> Ahead:
    """Take a batch before it is known whether the stream stands still where it stood."""
    after = copy(stream)
    return Ahead(stream, after, take(after, raws))


def take_ahead(stream: Stream, ahead: Ahead) -> Taken | None:
    """Let a stream go on by what was read ahead; None: it stands elsewhere by now."""
    if _standing(stream) != _standing(ahead.before):
        return None
    after = ahead.after
    stream.epoch, stream.sequence, stream.head = after.epoch, after.sequence, after.head
    stream.share_epoch = after.share_epoch
    return ahead.taken


def _standing(stream: Stream) -> tuple[int, int, bytes, int, bool]:
    """All that decides what becomes of a batch."""
    return stream.epoch, stream.sequence, stream.head, stream.share_epoch, stream.fenced


def _take_one(stream: Stream, raw: bytes, taken: Taken) -> None:
    epoch, sequence, event, fault = _placed(stream, raw)
    stream.open(epoch)
    if (epoch, sequence) <= (stream.epoch, stream.sequence):
        taken.repeats.append((epoch, sequence, raw))
        return
    data: Data | None = None
    if fault is None and event is not None:
        data, fault = read(stream.edge_id, event)
    if epoch > stream.epoch:
        _require_beginning(stream, epoch, sequence, data)
        taken.ended.append(copy(stream))
        stream.begin(epoch)
    if sequence != stream.sequence + 1:
        raise GapError(
            f"position {sequence} after {stream.sequence}",
            place="$.sequence",
            expected=f"position {stream.sequence + 1}",
        )
    stream.sequence = sequence
    stream.head = link(stream.head, raw)
    late = stream.is_late(epoch)
    taken.entries.append(
        Entry(stream.edge_id, epoch, sequence, raw, stream.head, event, data, fault, late)
    )


def _placed(stream: Stream, raw: bytes) -> tuple[int, int, Event | None, PointsmanError | None]:
    """Epoch and sequence of an event, and as much of it as can be read."""
    try:
        event = decode_event(raw)
        return event.epoch or 0, event.number(), event, None
    except PointsmanError as error:
        try:
            place = _place_decoder.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise InvalidEnvelopeError(
                f"an event after position {stream.sequence} has no place: {error}",
                expected="sequence and epoch",
            ) from None
        return place.epoch, int(place.sequence), None, error


def read(edge_id: str, event: Event) -> tuple[Data | None, PointsmanError | None]:
    """The data of an event in an edge's stream, or why it is to have no effect."""
    fault = _impostor(edge_id, event)
    if fault is not None:
        return None, fault
    try:
        return decode_data(event), None
    except PointsmanError as error:
        return None, error


def again(edge_id: str, epoch: int, sequence: int, raw: bytes, digest: bytes) -> Entry:
    """An entry from the bytes that were kept of it, as the present code reads them."""
    entry = Entry(edge_id, epoch, sequence, raw, digest, None, None, None)
    try:
        event = decode_event(raw)
        event.number()
    except PointsmanError as error:
        return entry._replace(fault=error)
    data, fault = read(edge_id, event)
    return entry._replace(event=event, data=data, fault=fault)


def _require_beginning(stream: Stream, epoch: int, sequence: int, data: Data | None) -> None:
    """Another epoch begins with `epoch.began`, after all that came before it.

    Raises:
        GapError: something before is missing.
    """
    here = (stream.epoch, stream.sequence)
    if sequence == 1 and isinstance(data, EpochBegan) and data.epoch == epoch:
        before = (data.previous_epoch, data.previous_sequence)
        if before <= here or data.previous_epoch < stream.epoch:
            return
        detail = f"epoch {epoch} begins after position {before[1]} of epoch {before[0]}"
    else:
        detail = f"position {sequence} of epoch {epoch} before that epoch has begun"
    raise GapError(
        f"{detail}; the ledger ends at {here[1]} of epoch {here[0]}",
        place="$.epoch",
        expected="what comes after that first, then epoch.began",
    )


def _impostor(edge_id: str, event: Event) -> PointsmanError | None:
    """An edge's decisions stand in its own stream only: a folder that changed hands shows here.

    What passes between central and its systems stands in central's own stream only.
    """
    if event.source.startswith("/edges/") and event.source != edge_source(edge_id):
        return InvalidEnvelopeError(
            f"an event of {event.source[:100]} in the stream of {edge_id}",
            place="$.source",
            expected=edge_source(edge_id),
        )
    of_hub = event.source == HUB_SOURCE or event.type in _OF_HUB
    if of_hub != (edge_id == HUB):
        return InvalidEnvelopeError(
            f"{event.type[:100]} of {event.source[:100]} in the stream of {edge_id}",
            place="$.source",
            expected="what central and its systems say in central's stream, all else in others",
        )
    return None


_OF_HUB: Final = frozenset(type_of(kind) for kind in SYSTEMS)
