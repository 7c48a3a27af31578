"""From bytes on a device's topic to a command. Pure; every refusal is typed and placed."""

import hashlib
from dataclasses import dataclass
from typing import Final

from edge.commands import FromDevice
from shared.envelope import CONTENT_TYPE, decode_data, decode_event
from shared.errors import (
    ContentTypeError,
    PointsmanError,
    TopicMismatchError,
)
from shared.events import UP, type_of
from shared.limits import PAYLOAD_BYTES_MAX
from shared.masking import with_masked_texts
from shared.moments import check_moments
from shared.reception import check_size, decode_from
from shared.topics import parse_up

_TYPES: Final = {type_of(kind) for kind in UP}


@dataclass(frozen=True, slots=True)
class Message:
    """An MQTT message from a device.

    Attributes:
        payload: only its beginning where `size` exceeds `PAYLOAD_BYTES_MAX`.
        size: bytes as sent.
        mid, qos: what its acknowledgement needs.
        connection: counts the connections; an id is good on its own connection only.
        content_type: the MQTT 5 property; None on 3.1.1 or where the client says nothing.
    """

    topic: str
    payload: bytes
    size: int = 0
    mid: int = 0
    qos: int = 1
    connection: int = 0
    content_type: str | None = None


def read(message: Message) -> FromDevice:
    """Decode and validate a message.

    Raises:
        PointsmanError: a subclass that says what is wrong, where, and what was expected.
    """
    device, kind = parse_up(message.topic)
    check_size(message.size)
    content_type = message.content_type
    if content_type is not None and content_type.partition(";")[0].strip() != CONTENT_TYPE:
        raise ContentTypeError(
            f"the content type is {content_type[:100]!r}",
            place="content type",
            expected=CONTENT_TYPE,
        )
    event = decode_from(device, kind, message.payload, _TYPES, "device")
    data = decode_data(event)
    check_moments(data)
    return FromDevice(device, event, with_masked_texts(data))


def sender_of(message: Message) -> tuple[str | None, str]:
    """Whom to answer about a message that was refused, and what to call it.

    Returns:
        The device, or None where the topic names none; the event's id, or else a name made
        from the payload, so that the sender can recognise it.
    """
    try:
        device, _ = parse_up(message.topic)
    except TopicMismatchError:
        return None, ""
    if message.size <= PAYLOAD_BYTES_MAX:
        try:
            return device, decode_event(message.payload).id
        except PointsmanError:
            pass
    return device, "sha256-" + hashlib.sha256(message.payload).hexdigest()[:32]
