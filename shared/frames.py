"""What travels between an edge and central besides events.

Control messages are small JSON documents. Bulk state that goes down to the edges (network
snapshots, grants) is MessagePack, in columns: a list of rows becomes one list per field, which
is a quarter of the size and decodes in one pass.

The conversation:

    edge  → hello {epoch, sequence, feed, …}  "my log ends here; I have applied the feed to here"
    central → ack {epoch, sequence, boot, …}  "in the ledger through here"; said again when asked
    edge  → log [event, …]                    a CloudEvents batch, from ack + 1 on
    central → feed/{number}/{kind}            numbered per edge, applied in order, once
    edge  → ask {lines}                       "I lack these units for a payment that waits"
    central → asked {id, feed}                "what there was is granted through this feed item"

An edge begins in epoch 1. When an operator fences it, its shares go back to the pools; the
next that central hears of it opens its next epoch by a `rejoin` in its feed, in front of
which nothing granted before counts any more. An edge that applies it begins its log anew, at
sequence 1 of that epoch, with `epoch.began`.
"""

from typing import Annotated, Any, Final, Literal, TypeVar, get_args

import msgpack
import msgspec
from msgspec import Meta, Struct

from shared.errors import InvalidDataError, NotJsonError
from shared.limits import BATCH_EVENTS_MAX, GRANT_CELLS_MAX, LINES_MAX, LOTS_MAX, SEQUENCE_MAX
from shared.lots import Lot
from shared.network import Network
from shared.parts import CellUnits, Contact, Reference, Shortage
from shared.prices import Prices
from shared.sourcing import Sourcing
from shared.topics import FEED

Sequence = Annotated[int, Meta(ge=0, le=SEQUENCE_MAX)]
Epoch = Annotated[int, Meta(ge=1, le=2**31 - 1)]

FeedKind = Literal[
    "network", "sourcing", "prices", "grant", "event", "recall", "lots", "rejoin", "past",
]  # fmt: skip
FEED_KINDS: Final = frozenset(get_args(FeedKind))


class Frame(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A control message."""


Boot = Annotated[str, Meta(pattern=r"^[0-9a-f]{16}$")]
"""A random name that an edge process gives itself when it starts."""

NO_BOOT: Final = "0" * 16
"""What an acknowledgement names while no start of the edge is confirmed."""

BOOTS_MAX: Final = 64

Refusal = Literal["", "behind", "twin"]
"""Why central takes nothing from an edge until it is fenced: its store is behind the ledger (a
backup was restored, a disk replaced), or another process speaks as this edge (a cloned disk)."""


class Hello(Frame, frozen=True):
    """An edge says what it has; central answers with an ack and the feed that is missing.

    Attributes:
        boots: the start that central last confirmed, if any, and every start since; the newest
            last. A copy of the disk does not know the starts of the original.
        unfit: the edge itself has found that its store must not sell.
    """

    epoch: Epoch
    sequence: Sequence
    feed: Sequence
    boots: Annotated[list[Boot], Meta(min_length=1, max_length=BOOTS_MAX)]
    unfit: bool = False


class Ack(Frame, frozen=True):
    """Central says through which position the edge's log is in the ledger.

    Attributes:
        boot: the start that central speaks with.
        refusal: set in the answer to a hello: nothing is taken from this edge.
    """

    epoch: Epoch
    sequence: Sequence
    boot: Boot
    refusal: Refusal = ""


class ContactFor(Frame, frozen=True):
    """Contact details of one order, on their own way."""

    order_id: Reference
    contact: Contact


class ContactsAck(Frame, frozen=True):
    """Central keeps these orders' contacts; the edge may forget them."""

    order_ids: Annotated[list[Reference], Meta(max_length=BATCH_EVENTS_MAX)]


class Grant(Frame, frozen=True):
    """Units that this edge, and no other, may promise from now on."""

    cells: Annotated[list[CellUnits], Meta(min_length=1, max_length=GRANT_CELLS_MAX)]


class Ask(Frame, frozen=True):
    """A payment waits for units: what the pools have of them is wanted at once."""

    id: Boot
    lines: Annotated[list[Shortage], Meta(min_length=1, max_length=LINES_MAX)]


class Asked(Frame, frozen=True):
    """Central has granted what there was; through this feed item the edge has it."""

    id: Boot
    feed: Sequence


class Recall(Frame, frozen=True):
    """Units that others need: the edge returns as many of them as its shares still hold."""

    cells: Annotated[list[CellUnits], Meta(min_length=1, max_length=GRANT_CELLS_MAX)]


class Lots(Frame, frozen=True):
    """Lots that are open, for an edge that has not heard of them."""

    lots: Annotated[list[Lot], Meta(min_length=1, max_length=LOTS_MAX)]


class Rejoin(Frame, frozen=True):
    """A new epoch: what was granted before counts no more.

    Attributes:
        epoch: the new one.
        restored: the store was behind the ledger. What it has is replaced by what follows in
            the feed, so this item may be applied whatever items are missing before it.
    """

    epoch: Epoch
    restored: bool = False


T = TypeVar("T")


def encode_frame(frame: Frame | list[ContactFor]) -> bytes:
    """The JSON of a control message."""
    return msgspec.json.encode(frame)


def decode_frame(payload: bytes, kind: type[T]) -> T:
    """Read a control message.

    Raises:
        InvalidDataError: it breaks its definition.
        NotJsonError: it is not JSON.
    """
    try:
        return msgspec.json.decode(payload, type=kind)
    except msgspec.ValidationError as error:
        raise InvalidDataError(str(error), expected=str(kind)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotJsonError(str(error)) from None


def feed_kind(number: int, kind: FeedKind) -> str:
    """The last levels of a feed topic."""
    return f"{FEED}/{number}/{kind}"


def parse_feed_kind(kind: str) -> tuple[int, FeedKind]:
    """Number and kind of a feed topic's last levels.

    Raises:
        InvalidDataError: not a feed topic.
    """
    head, _, rest = kind.partition("/")
    number, _, name = rest.partition("/")
    if head == FEED and number.isascii() and number.isdigit() and name in FEED_KINDS:
        return int(number[:18]), name  # type: ignore[return-value]  # checked against FEED_KINDS
    raise InvalidDataError(f"{kind!r} is not a feed item", place="topic")


def encode_bulk(value: Network | Sourcing | Prices | Grant | Recall | Lots) -> bytes:
    """MessagePack, each list of rows as columns. Equal values give equal bytes."""
    document: dict[str, Any] = msgspec.to_builtins(value)
    packed: bytes = msgpack.packb(
        {name: _to_columns(item) if _is_rows(item) else item for name, item in document.items()}
    )
    return packed


B = TypeVar("B", Network, Sourcing, Prices, Grant, Recall, Lots)


def decode_bulk(payload: bytes, kind: type[B]) -> B:
    """Read what `encode_bulk` wrote.

    Raises:
        InvalidDataError: not MessagePack, or it breaks its definition.
    """
    try:
        document = msgpack.unpackb(payload)
        rows = {
            name: _to_rows(item) if isinstance(item, dict) and "#" in item else item
            for name, item in document.items()
        }
        return msgspec.convert(rows, kind)
    except (ValueError, TypeError, AttributeError, msgpack.UnpackException) as error:
        raise InvalidDataError(f"{type(error).__name__}: {error}", expected=str(kind)) from None


def _is_rows(item: object) -> bool:
    return isinstance(item, list) and bool(item) and isinstance(item[0], dict)


def _to_columns(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"#": len(rows)} | {name: [row[name] for row in rows] for name in rows[0]}


def _to_rows(columns: dict[str, Any]) -> list[dict[str, Any]]:
    names = [name for name in columns if name != "#"]
    return [
        dict(zip(names, row, strict=True))
        for row in zip(*(columns[name] for name in names), strict=True)
    ]
