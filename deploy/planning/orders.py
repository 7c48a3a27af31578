"""Orders, line by line: questions with an id, payments, or lines of an exported ledger."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import msgspec
from msgspec import Struct

from deploy.planning.formats import AskedOrder
from shared.clock import to_ms
from shared.envelope import decode_data, decode_event
from shared.errors import InvalidDataError, NotJsonError, PointsmanError, split_error
from shared.events import OrderAccepted, Payment, RouteRequested, type_of
from shared.ids import order_id as order_id_of
from shared.limits import PAYLOAD_BYTES_MAX

LINE_BYTES_MAX = 4 * PAYLOAD_BYTES_MAX
"""An `order.accepted` holds its payment and its plan."""

T = TypeVar("T")

EXPECTED = "a line as deploy/config/orders.jsonl has it (order.schema.json), or a CloudEvent"


class _Looks(Struct):
    """What tells the kinds of lines apart."""

    specversion: str | None = None
    type: str | None = None
    payment_id: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """One order to plan, whatever kind of line it came in.

    Attributes:
        place: file and line, for errors.
    """

    id: str
    at: datetime
    order: RouteRequested | Payment
    place: str


class Orders:
    """Reads lines.

    Args:
        name: of the file, for errors.
        at: when orders are decided that do not say it.

    Attributes:
        other: lines that were events, but not orders.
        twice: events of an order that another line had already.
    """

    def __init__(self, name: str, at: datetime | None) -> None:
        """See the class."""
        self.other = self.twice = 0
        self._name = name
        self._at = at
        self._seen: set[str] = set()
        self._looks = msgspec.json.Decoder(_Looks)
        self._asked = msgspec.json.Decoder(AskedOrder)
        self._paid = msgspec.json.Decoder(Payment)

    def read(self, lines: Iterable[bytes]) -> Iterator[Asked]:
        """The orders, in the order of their lines; only the ids are kept.

        Raises:
            InvalidDataError, NotJsonError: the place holds the number of the line.
        """
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            place = f"{self._name}, line {number}"
            try:
                asked = self._one(line, place)
            except PointsmanError as error:
                error.place = f"{place}: {error.place}"
                raise
            if asked is not None:
                yield asked

    def _one(self, line: bytes, place: str) -> Asked | None:
        if len(line) > LINE_BYTES_MAX:
            raise InvalidDataError(
                f"{len(line)} bytes", expected=f"at most {LINE_BYTES_MAX} in a line"
            )
        looks = _decode(self._looks, line)
        if looks.specversion is not None:
            return self._event(line, looks.type, place)
        if looks.payment_id is not None:
            paid = _decode(self._paid, line)
            return self._new(Asked(paid.payment_id, paid.paid_at, paid, place))
        asked = _decode(self._asked, line)
        at = asked.at or self._at
        if at is None:
            raise InvalidDataError(
                "the order says no time, and a plan depends on it",
                place="$.at",
                expected='"at": "2026-01-05T09:00:00+08:00" in the line, or --at for all',
            )
        return self._new(Asked(asked.id, at, asked, place))

    def _event(self, line: bytes, name: str | None, place: str) -> Asked | None:
        if name not in {type_of(Payment), type_of(OrderAccepted), type_of(RouteRequested)}:
            self.other += 1
            return None
        event = decode_event(line)
        data = decode_data(event)
        order: RouteRequested | Payment
        if isinstance(data, OrderAccepted):
            id, order = data.order_id, data.payment
        elif isinstance(data, Payment):
            id, order = order_id_of(event.source, event.id, to_ms(event.time)), data
        else:
            assert isinstance(data, RouteRequested)
            id, order = event.id, data
        if id in self._seen:  # the payment and its answer, or a payment sent again
            self.twice += 1
            return None
        return self._new(Asked(id, event.time, order, place))

    def _new(self, asked: Asked) -> Asked:
        if asked.id in self._seen:
            raise InvalidDataError(
                f"the id {asked.id!r} stands twice", place="$.id", expected="an id once"
            )
        self._seen.add(asked.id)
        return asked


def _decode(decoder: msgspec.json.Decoder[T], line: bytes) -> T:
    try:
        return decoder.decode(line)
    except msgspec.ValidationError as error:
        detail, place = split_error(error)
        raise InvalidDataError(detail, place=place, expected=EXPECTED) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotJsonError(str(error), expected=f"{EXPECTED}, in UTF-8") from None
