"""Which moments are taken from outside. What stands in a log or a ledger already stays readable."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from shared.devices import DeviceReported
from shared.errors import InvalidDataError, InvalidEnvelopeError
from shared.events import (
    CapacityAnnounced,
    Data,
    Payment,
    RouteRequested,
    StockExpected,
    StockMoved,
)
from shared.systems import StatusReported

FIRST: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""A till whose clock has lost its battery begins here, and its payments are facts all the same."""

BEYOND: Final = datetime(2100, 1, 1, tzinfo=UTC)
_EXPECTED: Final = "a moment from 1970-01-01 to before 2100-01-01, UTC"


def check_time(time: datetime) -> None:
    """See that an event's `time` can be one.

    Raises:
        InvalidEnvelopeError: it is out of range.
    """
    if not FIRST <= time < BEYOND:
        raise InvalidEnvelopeError(
            f"{time.isoformat()} is out of range", place="$.time", expected=_EXPECTED
        )


def check_moments(data: Data, root: str = "$.data") -> None:
    """See that the moments that a device, a system or a caller has put into an event can be such.

    Args:
        data: the event's.
        root: JSON path of it.

    Raises:
        InvalidDataError: one is out of range.
    """
    for place, moment in _moments(data):
        if moment is not None and not FIRST <= moment < BEYOND:
            raise InvalidDataError(
                f"{moment.isoformat()} is out of range",
                place=f"{root}.{place}",
                expected=_EXPECTED,
            )


def _moments(data: Data) -> Iterator[tuple[str, datetime | None]]:
    match data:
        case Payment():
            yield "paid_at", data.paid_at
            yield "fulfilment.deadline", data.fulfilment.deadline
        case RouteRequested():
            yield "fulfilment.deadline", data.fulfilment.deadline
        case StockExpected() | StockMoved():
            yield "expected_at", data.expected_at
        case CapacityAnnounced():
            for i, slot in enumerate(data.slots):
                yield f"slots[{i}].starts_at", slot.starts_at
                yield f"slots[{i}].ends_at", slot.ends_at
        case DeviceReported():
            yield "since", data.since
            yield "last_seen", data.last_seen
        case StatusReported():
            yield "at", data.at
        case _:
            return
