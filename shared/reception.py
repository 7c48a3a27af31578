"""What an edge asks of a device's event, and central of a system's: the same, in the same words."""

from collections.abc import Set as AbstractSet
from typing import Final, Literal

from shared.envelope import Event, decode_event
from shared.errors import (
    InvalidEnvelopeError,
    PayloadTooLargeError,
    TopicMismatchError,
    UnknownTypeError,
)
from shared.limits import PAYLOAD_BYTES_MAX
from shared.moments import check_time
from shared.topics import device_source

_FILLS: Final = {"device": "the edge", "system": "central"}


def check_size(size: int) -> None:
    """See that a message is not too large to be read.

    Raises:
        PayloadTooLargeError: it is.
    """
    if size > PAYLOAD_BYTES_MAX:
        raise PayloadTooLargeError(
            f"the message has {size} bytes", expected=f"at most {PAYLOAD_BYTES_MAX} bytes"
        )


def decode_from(
    sender: str,
    kind: str,
    payload: bytes,
    types: AbstractSet[str],
    role: Literal["device", "system"],
) -> Event:
    """An event that was published on its sender's topic.

    Args:
        sender: name of the topic.
        kind: of the topic.
        payload: what is on it.
        types: those that may be published there.
        role: what the sender is.

    Raises:
        PointsmanError: a subclass that says what is wrong, where, and what was expected.
    """
    event = decode_event(payload)
    if event.source != device_source(sender):
        raise TopicMismatchError(
            f"source {event.source!r} on the topic of {role} {sender!r}",
            place="$.source",
            expected=device_source(sender),
        )
    if event.type not in types:
        raise UnknownTypeError(
            f"{event.type[:100]!r} is not an event type that {role}s publish",
            place="$.type",
            expected="one of " + ", ".join(sorted(types)),
        )
    if event.type != f"pointsman.{kind}.v1":
        raise TopicMismatchError(
            f"type {event.type!r} on a topic for {kind[:100]!r}",
            place="$.type",
            expected="the topic's last level is the middle of the type",
        )
    # What the envelope's type cannot say: who may fill which attribute, and when was when.
    for name in ("sequence", "epoch", "hlc"):
        if getattr(event, name) is not None:
            raise InvalidEnvelopeError(
                f"a {role} sets {name}",
                place=f"$.{name}",
                expected=f"left out: {_FILLS[role]} fills it",
            )
    check_time(event.time)
    return event
