"""What travels between an edge and central besides events.

Control messages are small JSON documents. Bulk state that goes down to the edges (network
snapshots, grants) is MessagePack, in columns: a list of rows becomes one list per field, which
is a quarter of the size and decodes in one pass.

The conversation:

    edge  → hello {epoch, sequence, feed}     "my log ends here; I have applied the feed to here"
    central → ack {epoch, sequence}           "in the ledger through here"; said again when asked
    edge  → log [event, …]                    a CloudEvents batch, from ack + 1 on
    central → feed/{number}/{kind}            numbered per edge, applied in order, once
"""

from typing import Annotated, Any, Final, Literal, TypeVar, get_args

import msgpack
import msgspec
from msgspec import Meta, Struct

from shared.errors import InvalidDataError, NotJsonError
from shared.limits import BATCH_EVENTS_MAX, GRANT_CELLS_MAX, SEQUENCE_MAX
from shared.network import Network
from shared.parts import CellUnits, Contact, Reference
from shared.topics import FEED

Sequence = Annotated[int, Meta(ge=0, le=SEQUENCE_MAX)]
Epoch = Annotated[int, Meta(ge=1, le=2**31 - 1)]

FeedKind = Literal["network", "grant", "event"]
FEED_KINDS: Final = frozenset(get_args(FeedKind))


class Frame(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A control message."""


class Hello(Frame, frozen=True):
    """An edge says what it has; central answers with an ack and the feed that is missing."""

    epoch: Epoch
    sequence: Sequence
    feed: Sequence


class Ack(Frame, frozen=True):
    """Central says through which position the edge's log is in the ledger."""

    epoch: Epoch
    sequence: Sequence


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


def encode_bulk(value: Network | Grant) -> bytes:
    """MessagePack, each list of rows as columns. Equal values give equal bytes."""
    document: dict[str, Any] = msgspec.to_builtins(value)
    packed: bytes = msgpack.packb(
        {name: _to_columns(item) if _is_rows(item) else item for name, item in document.items()}
    )
    return packed


B = TypeVar("B", Network, Grant)


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
