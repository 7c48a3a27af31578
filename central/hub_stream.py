"""Central's own stream: what it commands and finds, and what systems tell it. Pure.

It is a stream like an edge's, of the reserved name `hub`, in epoch 1 for ever.
"""

from copy import copy
from datetime import datetime
from typing import Final, NamedTuple

import msgspec
from msgspec import Raw

from central.stream import Entry, Stream, link
from shared.clock import HybridClock, to_datetime
from shared.envelope import Event, encode_event, make_event
from shared.events import Data
from shared.ids import edge_event_id
from shared.systems import AboutOrder
from shared.topics import HUB, HUB_SOURCE

EPOCH: Final = 1
NO_READING: Final = "0" * 16


class Head(NamedTuple):
    """Where the stream stands: None before its first entry; and the last clock reading in it.

    The stream is not to be changed.
    """

    stream: Stream | None = None
    hlc: str = NO_READING

    @property
    def sequence(self) -> int:
        """Of the last entry."""
        return 0 if self.stream is None else self.stream.sequence


class Cause(NamedTuple):
    """What an entry is caused by; a reading or a trace where they are known."""

    id: str
    hlc: str | None = None
    traceparent: str | None = None

    @classmethod
    def of(cls, event: Event) -> "Cause":
        """The cause that an event is for others."""
        return cls(event.id, event.hlc, event.traceparent)


class HubStream:
    """Writes the stream on, from where it stands; the entries are the caller's to keep.

    Args:
        head: where it stands; not changed.
        now_ms: wall time.
    """

    def __init__(self, head: Head, now_ms: int) -> None:
        """See the class."""
        self._head = head
        self._stream = copy(head.stream)
        self._clock = HybridClock(head.hlc)
        self._now_ms = now_ms
        self._hlc = head.hlc

    @property
    def head(self) -> Head:
        """Where the stream stands now."""
        return Head(self._stream, self._hlc)

    @property
    def moved(self) -> bool:
        """Whether anything was written."""
        return self._stream != self._head.stream

    def decide(self, data: AboutOrder, cause: Cause) -> Entry:
        """What central itself commands or finds."""
        stream = self._begun()
        event = make_event(
            data,
            id=edge_event_id(HUB, EPOCH, stream.sequence + 1),
            source=HUB_SOURCE,
            time=self._time(),
            subject=data.order_id,
            causationid=cause.id,
            correlationid=data.order_id,
            traceparent=cause.traceparent,
        )
        return self._append(event, data, cause)

    def report(self, event: Event, data: AboutOrder) -> Entry:
        """A system's fact, under its own identity; what answers no command is its own cause."""
        cause = Cause(event.causationid or event.id, traceparent=event.traceparent)
        told = msgspec.structs.replace(
            event,
            data=Raw(msgspec.json.encode(data)),
            dataschema=None,
            subject=data.order_id,
            causationid=cause.id,
            correlationid=data.order_id,
        )
        return self._append(told, data, cause)

    def _append(self, event: Event, data: Data, cause: Cause) -> Entry:
        stream = self._begun()
        if cause.hlc is not None:
            self._clock.observe(cause.hlc)
        self._hlc = self._clock.tick(self._now_ms)
        stream.sequence += 1
        placed = msgspec.structs.replace(
            event, sequence=f"{stream.sequence:016d}", epoch=EPOCH, hlc=self._hlc
        )
        raw = encode_event(placed)
        stream.head = link(stream.head, raw)
        stream.last_seen_ms = self._now_ms
        return Entry(HUB, EPOCH, stream.sequence, raw, stream.head, placed, data, None)

    def _begun(self) -> Stream:
        if self._stream is None:
            self._stream = Stream(HUB)
            self._stream.begin(EPOCH)
        return self._stream

    def _time(self) -> datetime:
        return to_datetime(self._now_ms)
