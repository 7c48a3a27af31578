"""From bytes on a system's topic to what it reports, and what it is told of that. Pure."""

import contextlib
import hashlib
from typing import Final, NamedTuple

import msgspec

from central.admin import Message
from shared import topics
from shared.clock import to_datetime
from shared.envelope import Event, decode_data, decode_event, encode_event, make_event
from shared.errors import (
    InvalidEnvelopeError,
    PointsmanError,
)
from shared.events import Data, InputRejected, type_of
from shared.limits import PAYLOAD_BYTES_MAX
from shared.masking import with_masked_texts
from shared.moments import check_moments
from shared.reception import check_size, decode_from
from shared.systems import SYSTEM_UP, AboutOrder, ReportRecorded, StatusReported

_TYPES: Final = frozenset(type_of(kind) for kind in SYSTEM_UP)


class Report(NamedTuple):
    """What a system has said."""

    system: str
    event: Event
    data: AboutOrder


class Reply(NamedTuple):
    """What a system is told of one of its events: its id, and the data of the answer."""

    system: str
    event_id: str
    data: Data


def read(system: str, kind: str, payload: bytes) -> Report:
    """Decode and validate a message.

    Args:
        system: of the topic.
        kind: of the topic.
        payload: what is on it.

    Raises:
        PointsmanError: a subclass that says what is wrong, where, and what was expected.
    """
    check_size(len(payload))
    event = decode_from(system, kind, payload, _TYPES, "system")
    data = decode_data(event)
    assert isinstance(data, AboutOrder), event.type
    if not isinstance(data, StatusReported) and event.causationid is None:
        raise InvalidEnvelopeError(
            "an answer names no command", place="$.causationid", expected="the command's id"
        )
    check_moments(data)
    return Report(system, event, with_masked_texts(data))


def rejection(system: str, message: Message, error: PointsmanError) -> Reply:
    """What is told of a message that is refused.

    One whose id cannot be read is called by a name made of its topic and payload, so that its
    sender can recognise it.
    """
    event_id = f"sha256-{_digest(message.topic.encode(), message.payload)}"
    if len(message.payload) <= PAYLOAD_BYTES_MAX:
        with contextlib.suppress(PointsmanError):
            event_id = decode_event(message.payload).id
    return refused(system, event_id, error)


def refused(system: str, event_id: str, error: PointsmanError) -> Reply:
    """What is told of an event that is refused."""
    data = InputRejected(
        code=error.code,
        detail=error.detail[:1024],
        place=error.place[:1024],
        expected=error.expected[:1024],
    )
    return Reply(system, event_id, data)


def recorded(report: Report) -> Reply:
    """What is told of an event that is in the ledger."""
    data = ReportRecorded(order_id=report.data.order_id, event_id=report.event.id)
    return Reply(report.system, report.event.id, data)


def message(reply: Reply, now_ms: int) -> Message:
    """A reply on its topic. It is no entry of the ledger: it says nothing new.

    The same reply to the same event has the same id, and no other has it.
    """
    digest = _digest(
        reply.system.encode(), reply.event_id.encode(), msgspec.json.encode(reply.data)
    )
    event = make_event(
        reply.data,
        id=f"{reply.data.kind}.{digest}",
        source=topics.HUB_SOURCE,
        time=to_datetime(now_ms),
        causationid=reply.event_id,
    )
    return Message(topics.down(reply.system, reply.data.kind), encode_event(event))


def is_same(event: Event, data: AboutOrder, entry: Event) -> bool:
    """Whether an event says what the entry says that was made of one with the same id."""
    said = (event.type, event.time, event.causationid or event.id, msgspec.json.encode(data))
    return said == (entry.type, entry.time, entry.causationid, bytes(entry.data))


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:32]
