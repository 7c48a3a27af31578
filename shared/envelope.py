"""The envelope: CloudEvents 1.0, JSON, structured mode and batch mode.

Source: CloudEvents specification 1.0.2 and its JSON event format.
"""

from datetime import datetime
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from shared.errors import (
    InvalidDataError,
    InvalidEnvelopeError,
    NotJsonError,
    UnknownTypeError,
    split_error,
)
from shared.events import BY_TYPE, Data, type_of
from shared.limits import BATCH_EVENTS_MAX, SEQUENCE_MAX

CONTENT_TYPE = "application/cloudevents+json"
CONTENT_TYPE_BATCH = "application/cloudevents-batch+json"

Attribute = Annotated[str, Meta(min_length=1, max_length=256)]


class Event(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One CloudEvent. `data` stays bytes until its type says how to read it.

    Devices fill the first five fields; the extensions are filled by the edge that logs the
    event. Other extension attributes are permitted by CloudEvents and not carried on.
    """

    specversion: Annotated[Literal["1.0"], Meta(description="Always 1.0.")]
    id: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=128,
            pattern=r"^[!-~]+$",
            description="Unique within the source. The same id again gets the same answer.",
        ),
    ]
    source: Annotated[Attribute, Meta(description="Who says so: /devices/{device}.")]
    type: Annotated[Attribute, Meta(description="pointsman.{what.happened}.v1")]
    time: Annotated[
        datetime, Meta(tz=True, description="When it happened, RFC 3339; 1970 to 2099.")
    ]
    data: Raw
    datacontenttype: Annotated[Literal["application/json"], Meta(description="JSON.")] = (
        "application/json"
    )
    subject: Annotated[Attribute, Meta(description="What it is about.")] | None = None
    dataschema: Annotated[Attribute, Meta(description="URI of the data's schema.")] | None = None
    sequence: (
        Annotated[
            str,
            Meta(
                pattern=r"^[0-9]{16}$",
                description="Position in the edge's log, no gaps, zero-padded.",
            ),
        ]
        | None
    ) = None
    epoch: (
        Annotated[int, Meta(ge=1, le=2**31 - 1, description="Incarnation of the edge.")] | None
    ) = None
    hlc: (
        Annotated[
            str,
            Meta(pattern=r"^[0-9a-f]{16}$", description="Hybrid logical clock: 48 bit ms, 16 bit."),
        ]
        | None
    ) = None
    causationid: (
        Annotated[Attribute, Meta(description="Id of the event that caused this.")] | None
    ) = None
    correlationid: Annotated[Attribute, Meta(description="The order.")] | None = None
    traceparent: (
        Annotated[
            str,
            Meta(
                pattern=r"^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$",
                description="W3C trace context.",
            ),
        ]
        | None
    ) = None

    def number(self) -> int:
        """The position in the edge's log.

        Raises:
            InvalidEnvelopeError: the event has no `sequence`, `epoch` or `hlc`.
        """
        if self.sequence is None or self.epoch is None or self.hlc is None:
            raise InvalidEnvelopeError(
                "an event of an edge's log needs sequence, epoch and hlc", expected="all three"
            )
        return int(self.sequence)


# JSON writes it only so, and databases take it in no text. (CloudEvents forbids it in attributes.)
NUL: Final = rb"\u0000"
_event_decoder = msgspec.json.Decoder(Event)
_batch_decoder = msgspec.json.Decoder(Annotated[list[Raw], Meta(max_length=BATCH_EVENTS_MAX)])
_data_decoders: dict[str, msgspec.json.Decoder[Any]] = {
    name: msgspec.json.Decoder(kind) for name, kind in BY_TYPE.items()
}
_encoder = msgspec.json.Encoder()


def decode_event(payload: bytes | Raw) -> Event:
    """Read one CloudEvent; its data stays unread.

    Raises:
        NotJsonError: not JSON, or nested too deeply.
        InvalidEnvelopeError: an attribute is missing, malformed or out of bounds.
    """
    if NUL in bytes(payload):
        raise InvalidEnvelopeError("a string has the character U+0000", expected="text without it")
    try:
        return _event_decoder.decode(payload)
    except msgspec.ValidationError as error:
        detail, place = split_error(error)
        raise InvalidEnvelopeError(
            detail, place=place, expected="a CloudEvent 1.0 in JSON structured mode"
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotJsonError(str(error), expected="one JSON object in UTF-8") from None
    except RecursionError:
        raise NotJsonError("nested too deeply", expected="at most a few levels") from None


def decode_data(event: Event) -> Data:
    """Read and validate the data of an event by its type.

    Raises:
        UnknownTypeError: no such type.
        InvalidDataError: the data breaks its schema; `place` says where.
        NotJsonError: nested too deeply.
    """
    decoder = _data_decoders.get(event.type)
    if decoder is None:
        raise UnknownTypeError(
            f"{event.type[:100]!r} is not an event type",
            place="$.type",
            expected=", ".join(BY_TYPE),
        )
    try:
        data: Data = decoder.decode(event.data)
    except msgspec.ValidationError as error:
        detail, place = split_error(error, "$.data")
        raise InvalidDataError(
            detail, place=place, expected=f"the JSON Schema of {event.type}"
        ) from None
    except UnicodeDecodeError as error:
        raise NotJsonError(str(error), place="$.data", expected="JSON in UTF-8") from None
    except RecursionError:
        raise NotJsonError("nested too deeply", place="$.data") from None
    return data


def encode_event(event: Event) -> bytes:
    """The JSON of one event: compact, fields in a fixed order, so equal events are equal bytes."""
    return _encoder.encode(event)


def make_event(
    data: Data,
    *,
    id: str,
    source: str,
    time: datetime,
    subject: str | None = None,
    sequence: int | None = None,
    epoch: int | None = None,
    hlc: str | None = None,
    causationid: str | None = None,
    correlationid: str | None = None,
    traceparent: str | None = None,
) -> Event:
    """Put `data` into an envelope; the type is the data's own."""
    assert sequence is None or 0 < sequence <= SEQUENCE_MAX, sequence
    return Event(
        specversion="1.0",
        id=id,
        source=source,
        type=type_of(data),
        time=time,
        data=Raw(_encoder.encode(data)),
        subject=subject,
        sequence=None if sequence is None else f"{sequence:016d}",
        epoch=epoch,
        hlc=hlc,
        causationid=causationid,
        correlationid=correlationid,
        traceparent=traceparent,
    )


def encode_batch(events: list[bytes]) -> bytes:
    """Encoded events as one CloudEvents JSON batch; each event's bytes stay as they are."""
    return b"[" + b",".join(events) + b"]"


def split_batch(payload: bytes) -> list[bytes]:
    """The single events' bytes of a batch, unread and unchanged.

    Raises:
        NotJsonError: not a JSON array, or too long.
    """
    try:
        return [bytes(raw) for raw in _batch_decoder.decode(payload)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotJsonError(str(error), expected="a CloudEvents JSON batch") from None
