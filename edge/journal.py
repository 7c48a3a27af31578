"""Log positions, clock readings and envelopes for the events that this edge writes down."""

from dataclasses import dataclass
from typing import Self

import msgspec
from msgspec import Raw

from edge.records import Decision, Entry
from shared.clock import HybridClock, to_datetime
from shared.envelope import Event, encode_event, make_event
from shared.events import Data
from shared.ids import edge_event_id
from shared.topics import edge_source


@dataclass(frozen=True, slots=True)
class Cause:
    """What caused an event: its id, and its clock reading and trace where they are known."""

    id: str
    hlc: str | None = None
    traceparent: str | None = None

    @classmethod
    def of(cls, event: Event) -> Self:
        """The cause that an event is for others."""
        return cls(event.id, event.hlc, event.traceparent)


class Journal:
    """Numbers what the edge says, without gaps.

    Two kinds of entries: facts that a device reported keep the device's identity; decisions
    of the edge get an identity of their own. Both get a position, a clock reading, their
    cause and their order.

    Args:
        edge_id: who writes.
        epochs: the edge's incarnations, each with the position before its first entry.
        position: of the newest entry in the store, counted through all epochs.
        hlc: clock reading of the newest entry.
    """

    def __init__(
        self, edge_id: str, epochs: list[tuple[int, int]], position: int, hlc: str
    ) -> None:
        """See the class."""
        self.edge_id = edge_id
        self.epochs = epochs
        self.position = position
        self._clock = HybridClock(hlc)

    @property
    def epoch(self) -> int:
        """The edge's present incarnation."""
        return self.epochs[-1][0]

    @property
    def sequence(self) -> int:
        """Of the newest entry in the present epoch; 0 before its first."""
        return self.position - self.epochs[-1][1]

    def enter(self, epoch: int) -> None:
        """Begin an epoch: the next entry is its first."""
        assert epoch > self.epoch, (epoch, self.epoch)
        self.epochs = [*self.epochs, (epoch, self.position)]

    def decide(
        self, decision: Decision, data: Data, now_ms: int, *, cause: Cause, order_id: str
    ) -> Event:
        """Log a decision of this edge, caused by `cause`."""
        sequence = self.sequence + 1
        event = make_event(
            data,
            id=edge_event_id(self.edge_id, self.epoch, sequence),
            source=edge_source(self.edge_id),
            time=to_datetime(now_ms),
            subject=order_id,
            sequence=sequence,
            epoch=self.epoch,
            hlc=self._reading(cause.hlc, now_ms),
            causationid=cause.id,
            correlationid=order_id,
            traceparent=cause.traceparent,
        )
        return self._append(decision, event, order_id, now_ms)

    def report(
        self,
        decision: Decision,
        event: Event,
        data: Data,
        now_ms: int,
        *,
        cause: Cause,
        order_id: str,
    ) -> Event:
        """Log a device's fact under the device's own identity, with what the edge adds to it.

        A fact that nothing has caused is its own beginning: its cause is itself.
        """
        logged = msgspec.structs.replace(
            event,
            data=Raw(msgspec.json.encode(data)),
            subject=order_id,
            sequence=f"{self.sequence + 1:016d}",
            epoch=self.epoch,
            hlc=self._reading(cause.hlc, now_ms),
            causationid=cause.id,
            correlationid=order_id,
        )
        return self._append(decision, logged, order_id, now_ms)

    def _reading(self, cause_hlc: str | None, now_ms: int) -> str:
        if cause_hlc is not None:
            self._clock.observe(cause_hlc)
        return self._clock.tick(now_ms)

    def _append(self, decision: Decision, event: Event, order_id: str, now_ms: int) -> Event:
        self.position += 1
        entry = Entry(self.position, event.type, order_id, encode_event(event), now_ms)
        decision.log.append(entry)
        return event
