"""What central has asked of systems, what they have answered, and what they believe. Pure.

A function of the ledger: commands and missed answers open rows here, answers close them. An
answer that does not fit is noted and has no effect; the ledger keeps it.
"""

from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, TypeAlias

import msgspec
from msgspec import Struct

from central.desk import SETTLED, Misfit, OrderState
from shared.clock import to_datetime, to_ms
from shared.envelope import Event
from shared.events import Data, OrderCancelled, PickReport, type_of
from shared.systems import (
    ANSWERS,
    SYSTEM_UP,
    AboutOrder,
    AnswerMissed,
    Command,
    InventoryLocked,
    InventoryLockRefused,
    InventoryLockRequested,
    LockLine,
    MessageFailed,
    MessageSent,
    StatusReported,
    Step,
)
from shared.topics import HUB, device_of

Outcome: TypeAlias = Literal["done", "refused", "failed", "misfit", "withdrawn"]
"""How a command ended. "misfit": the answer came when it could have no effect any more."""


class Awaited(Struct):
    """A command whose answer is, or was, waited for.

    Attributes:
        system: who is to answer; for a pick task its node.
        sequence: of the command in the hub's stream; None for a pick task.
        task_id: of a pick task; those have a row only once their answer was missed.
        outcome: None while it is open.
    """

    command_id: str
    order_id: str
    system: str
    step: Step
    since_ms: int
    sequence: int | None = None
    task_id: str | None = None
    missed_ms: int | None = None
    answered_ms: int | None = None
    outcome: Outcome | None = None


class Lock(Struct):
    """The lock that an order was last given; `lines` is the JSON of a list of `LockLine`."""

    order_id: str
    revision: int
    lines: bytes

    def read(self) -> list[LockLine]:
        """The lines."""
        return _lines.decode(self.lines)


class Belief(Struct):
    """What a system last said of an order, and since when it is so."""

    system: str
    order_id: str
    word: str
    said_ms: int


class Heard(NamedTuple):
    """Where in the hub's stream an event of a system stands."""

    source: str
    event_id: str
    sequence: int


_lines: Final = msgspec.json.Decoder(list[LockLine])


@dataclass(slots=True)
class Dealings:
    """What a burst concerns; what is in `changed_…` has to be saved.

    Attributes:
        awaited: by command id.
        of_task: task id to the command id of its row in `awaited`.
        locks: by order id.
        beliefs: by system and order id.
        heard: by source and event id, where in the hub's stream.
        commanded: ids of commands that were made here.
        closed: ids of commands that were answered here.
    """

    awaited: dict[str, Awaited] = field(default_factory=dict)
    of_task: dict[str, str] = field(default_factory=dict)
    locks: dict[str, Lock] = field(default_factory=dict)
    beliefs: dict[tuple[str, str], Belief] = field(default_factory=dict)
    heard: dict[tuple[str, str], int] = field(default_factory=dict)
    changed_awaited: set[str] = field(default_factory=set)
    changed_locks: set[str] = field(default_factory=set)
    changed_beliefs: set[tuple[str, str]] = field(default_factory=set)
    new_heard: list[Heard] = field(default_factory=list)
    commanded: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)

    def put(self, row: Awaited) -> None:
        """Add a row that was loaded or is new."""
        self.awaited[row.command_id] = row
        if row.task_id is not None:
            self.of_task[row.task_id] = row.command_id

    def apply(
        self, edge_id: str, event: Event, data: Data, order: OrderState | None
    ) -> list[Misfit]:
        """Take one entry of the ledger in; what does not fit comes back.

        Args:
            edge_id: whose stream it stands in.
            event: the entry's.
            data: the event's.
            order: the state of the order that it is about; None: not known here.
        """
        if edge_id != HUB:
            self._picked(event, data)
            return []
        sequence = event.number()
        if event.type in _HEARD:
            self.heard[event.source, event.id] = sequence
            self.new_heard.append(Heard(event.source, event.id, sequence))
        match data:
            case Command():
                self._commanded(event, data, sequence)
            case AnswerMissed():
                return self._missed(event, data)
            case StatusReported():
                self._believed(event, data)
            case AboutOrder():
                return self._answered(event, data, order)
        return []

    def _picked(self, event: Event, data: Data) -> None:
        """Any report of a pick task answers it; a task that is withdrawn needs no answer."""
        if isinstance(data, PickReport):
            self._close(self.of_task.get(data.task_id), event, "done")
        elif isinstance(data, OrderCancelled):
            for task_id in data.withdrawn:
                self._close(self.of_task.get(task_id), event, "withdrawn")

    def _commanded(self, event: Event, data: Command, sequence: int) -> None:
        since_ms = to_ms(event.time)
        self.put(Awaited(event.id, data.order_id, data.system, data.step, since_ms, sequence))
        self.changed_awaited.add(event.id)
        self.commanded.append(event.id)
        if isinstance(data, InventoryLockRequested):
            lines = msgspec.json.encode(data.lines)
            self.locks[data.order_id] = Lock(data.order_id, data.revision, lines)
            self.changed_locks.add(data.order_id)

    def _missed(self, event: Event, data: AnswerMissed) -> list[Misfit]:
        row = self.awaited.get(data.command_id)
        if row is None:
            row = Awaited(
                data.command_id, data.order_id, data.system, data.step, to_ms(data.since),
                task_id=data.task_id,
            )  # fmt: skip
            self.put(row)
        row.missed_ms = to_ms(event.time)
        self.changed_awaited.add(row.command_id)
        seen = (
            "never seen" if data.last_seen is None else f"last seen {_time(to_ms(data.last_seen))}"
        )
        who = data.system if data.edge_id is None else f"{data.system} (edge {data.edge_id})"
        detail = (
            f"{who} has not answered {data.command_id}, step {data.step}, since "
            f"{_time(to_ms(data.since))}; {seen}"
        )
        return [Misfit("answer_missed", detail, data.order_id)]

    def _believed(self, event: Event, data: StatusReported) -> None:
        key = (device_of(event.source), data.order_id)
        said_ms = to_ms(data.at)
        belief = self.beliefs.get(key)
        # What is told late of an earlier time says nothing new.
        if belief is None or said_ms >= belief.said_ms:
            self.beliefs[key] = Belief(*key, data.state, said_ms)
            self.changed_beliefs.add(key)

    def _answered(self, event: Event, data: AboutOrder, order: OrderState | None) -> list[Misfit]:
        system = device_of(event.source)
        said = f"{data.kind} of {system} for {event.causationid}"
        row = self.awaited.get(event.causationid or "")
        if row is None:
            return [Misfit("unknown_command", f"{said}: no such command", data.order_id)]
        meant = (row.system, row.order_id)
        if meant != (system, data.order_id) or not isinstance(data, ANSWERS.get(row.step, ())):
            detail = f"{said}: that is step {row.step} of {row.system} for order {row.order_id}"
            return [Misfit("wrong_answer", detail, data.order_id)]
        if row.answered_ms is not None:
            detail = f"{said}: it was answered before, {row.outcome}"
            return [Misfit("answered_before", detail, data.order_id)]
        match data:
            case InventoryLocked() | MessageSent():
                self._close(row.command_id, event, "done")
            case InventoryLockRefused(reason=reason) if order in SETTLED:
                self._close(row.command_id, event, "misfit")
                detail = f"{said}, and the order is {order} already: {reason}"
                return [Misfit("refused_too_late", detail, data.order_id)]
            case InventoryLockRefused(reason=reason):
                self._close(row.command_id, event, "refused")
                return [Misfit("lock_refused", f"{said}: {reason}", data.order_id)]
            case MessageFailed(reason=reason, retryable=False):
                self._close(row.command_id, event, "failed")
                return [Misfit("message_failed", f"{said}: {reason}", data.order_id)]
        return []

    def _close(self, command_id: str | None, event: Event, outcome: Outcome) -> None:
        row = self.awaited.get(command_id or "")
        if row is not None and row.answered_ms is None:
            row.answered_ms, row.outcome = to_ms(event.time), outcome
            self.changed_awaited.add(row.command_id)
            self.closed.append(row.command_id)


def _time(ms: int) -> str:
    return to_datetime(ms).strftime("%Y-%m-%dT%H:%M:%SZ")


_HEARD: Final = frozenset(type_of(kind) for kind in SYSTEM_UP)
