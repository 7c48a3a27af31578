"""The story of one order: its ledger entries, folded into steps, lines and a state. Pure.

The order is that of causes: by hybrid clock, each event after the one that caused it and after
what its own edge has said before, whatever edge's stream was read first. Order and task states are
those of `central.hub`, units of lines those of `central.lines`; nothing else decides here.
"""

import heapq
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec
from msgspec import Struct

from central import hub
from central.desk import Desk, Misfit, OrderState, Task
from central.evidence import InFile
from central.lifecycle import LIFECYCLE_VERSION, LineState
from central.lines import LineMove, Lines, LineUnits
from central.stream import Entry
from central.wording import Context, Late, Promise, context_of, sentence, unread
from shared.clock import to_datetime
from shared.events import (
    Data,
    OrderAccepted,
    OrderCancelled,
    OrderParked,
    PackageDelivered,
    PickKept,
    PickReport,
    PickRequested,
    RoutePlanned,
)
from shared.parts import PlannedLine, Shortage
from shared.tasks import TaskState
from shared.topics import edge_of


class Recorded(NamedTuple):
    """An entry where it stands in the ledger.

    Attributes:
        received_ms: when central took it in, if that is known.
        noted: code and detail under which it is noted as an event without effect.
    """

    entry: Entry
    position: int
    received_ms: int | None = None
    noted: tuple[str, str] | None = None


class Cause(Struct, frozen=True, omit_defaults=True):
    """The event that caused a step; `step` is its number, if the story has it.

    A payment or a request to cancel is not in the ledger itself, but in what the edge made of it.
    """

    event_id: str
    step: int | None = None


class Change(Struct, frozen=True):
    """The order went from one state to another."""

    before: OrderState
    after: OrderState


class Step(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One event of an order.

    Attributes:
        number: place in the story, from 1.
        kind: the middle of the event's type; empty: not even that can be read.
        what: what happened, one sentence.
        by: the device, system or edge that says so.
        time: when it happened, by whoever says so.
        edge_id: whose log it is in, at `epoch` and `sequence`; `position` is the ledger's.
        received_at: when central took it in.
        order, lines: what it has changed.
        misfits: what of it does not fit; that had no effect.
        no_effect: code of the fault of an event that had none at all.
    """

    number: int
    kind: str
    what: str
    by: str
    edge_id: str
    epoch: int
    sequence: int
    position: int
    time: datetime | None = None
    hlc: str | None = None
    event_id: str | None = None
    received_at: datetime | None = None
    cause: Cause | None = None
    context: Context = Context()
    order: Change | None = None
    lines: list[LineMove] = []
    misfits: list[str] = []
    no_effect: str | None = None


class TaskStory(Struct, omit_defaults=True, kw_only=True):
    """A pick task of the order.

    Attributes:
        edge_id: the edge that has reported on it; None: none has.
        lines: what it still has.
        given_at, given_step: when and by which step it was asked for.
        since: when it came into its state.
    """

    task_id: str
    node_id: str | None = None
    edge_id: str | None = None
    state: TaskState = "issued"
    lines: list[PlannedLine] = []
    given_at: datetime | None = None
    given_step: int | None = None
    since: datetime | None = None
    ready_at: datetime | None = None
    arrives_at: datetime | None = None


class Story(Struct, kw_only=True):
    """All that the ledger says about one order.

    Attributes:
        lifecycle: version of the states and steps that it is told by.
        edge_id: the edge that keeps the order; None: no `order.accepted` is in yet.
        sold_by: the till, or whoever has told the payment.
        waiting: what waits now, as told last, at step `waiting_step`.
        archived: the archive files that have its first events, one or some of these; then the
            state is the view's, the steps are those that are left, and lines and tasks are not
            told.
    """

    order_id: str
    state: OrderState
    lifecycle: int = LIFECYCLE_VERSION
    edge_id: str | None = None
    store_id: str | None = None
    sold_by: str | None = None
    opened_at: datetime | None = None
    promised_at: datetime | None = None
    lines: list[LineUnits] = []
    tasks: list[TaskStory] = []
    waiting: list[Shortage] = []
    waiting_step: int | None = None
    steps: list[Step] = []
    archived: list[InFile] = []

    def units(self, *states: LineState) -> int:
        """Units that are in one of these states."""
        return sum(line.states.get(state, 0) for line in self.lines for state in states)


def tell(order_id: str, recorded: Iterable[Recorded]) -> Story:
    """The story of an order.

    Args:
        order_id: whose.
        recorded: the ledger's entries about it, in any order; causes that are not about an order,
            as a count of the shelf, may be among them.
    """
    told = _Telling(order_id)
    for one in ordered(list(recorded)):
        told.take(one)
    return told.story()


def ordered(recorded: Sequence[Recorded]) -> list[Recorded]:
    """Entries in the order of their causes; the same for any order that they come in.

    By hybrid clock, but never before the cause, nor before what the same edge has said earlier: a
    clock that was wrong does not turn cause and effect round. Where causes go round in a circle,
    the clock alone counts.
    """
    rows = sorted(recorded, key=lambda x: x.entry.key)
    by_id: dict[str, list[int]] = {}
    for n, row in enumerate(rows):
        if row.entry.event is not None:
            by_id.setdefault(row.entry.event.id, []).append(n)
    follows: list[list[int]] = [[] for _ in rows]
    before = [0] * len(rows)
    clock = ""
    keys: list[tuple[str, tuple[str, int, int]]] = []
    for n, row in enumerate(rows):
        same = n > 0 and rows[n - 1].entry.edge_id == row.entry.edge_id
        event = row.entry.event
        # What cannot be read has its place after what its edge has said before.
        clock = event.hlc if event and event.hlc else clock if same else ""
        keys.append((clock, row.entry.key))
        causes = {n - 1} if same else set()
        if event is not None and event.causationid is not None:
            causes |= set(by_id.get(event.causationid, ())) - {n}
        for cause in causes:
            follows[cause].append(n)
            before[n] += 1
    ready = [(keys[n], n) for n in range(len(rows)) if not before[n]]
    heapq.heapify(ready)
    rest = set(range(len(rows)))
    found = []
    while rest:
        n = heapq.heappop(ready)[1] if ready else min(rest, key=lambda n: keys[n])
        if n not in rest:
            continue
        rest.remove(n)
        found.append(rows[n])
        for effect in follows[n]:
            before[effect] -= 1
            if not before[effect] and effect in rest:
                heapq.heappush(ready, (keys[effect], effect))
    return found


class _Telling:
    """What is known after some events of an order."""

    def __init__(self, order_id: str) -> None:
        self.order_id = order_id
        self._desk = Desk()
        self._lines = Lines()
        self._tasks: dict[str, TaskStory] = {}
        self._steps: list[Step] = []
        self._numbers: dict[str, int] = {}
        self._sold_by: str | None = None
        self._waiting: tuple[list[Shortage], int | None] = ([], None)

    def take(self, recorded: Recorded) -> None:
        """The next event."""
        entry, event = recorded.entry, recorded.entry.event
        number = len(self._steps) + 1
        step = Step(
            number=number,
            kind="",
            what="",
            by=entry.edge_id,
            edge_id=entry.edge_id,
            epoch=entry.epoch,
            sequence=entry.sequence,
            position=recorded.position,
            received_at=None if recorded.received_ms is None else to_datetime(recorded.received_ms),
        )
        if event is not None:
            step = msgspec.structs.replace(
                step,
                kind=event.type.removeprefix("pointsman.").removesuffix(".v1"),
                by=by_of(event.source),
                time=event.time,
                hlc=event.hlc,
                event_id=event.id,
                cause=self._cause(event.causationid, event.id),
            )
        noted = recorded.noted
        if noted is None and entry.fault is not None:
            noted = entry.fault.code, str(entry.fault)
        if noted is not None:
            what = unread(entry.edge_id, *noted)
            step = msgspec.structs.replace(step, what=what, no_effect=noted[0])
        elif event is not None and entry.data is not None:
            step = self._follow(step, entry, entry.data)
        self._steps.append(step)
        if event is not None:
            self._numbers[event.id] = number

    def story(self) -> Story:
        """What has come of it."""
        order = self._desk.order(self.order_id)
        for task_id, told in self._tasks.items():
            task, units = self._desk.tasks.get(task_id), self._lines.tasks.get(task_id)
            if task is not None:
                told.state = task.state
            left = {} if units is None else units.units
            told.lines = [
                PlannedLine(line=n, sku=self._lines.rows[n].sku, quantity=x)
                for n, x in sorted(left.items())
            ]
        return Story(
            order_id=self.order_id,
            state=order.state,
            edge_id=order.edge_id,
            store_id=order.store_id,
            sold_by=self._sold_by,
            opened_at=to_datetime(order.opened_ms) if order.opened_ms else None,
            promised_at=None if order.promised_ms is None else to_datetime(order.promised_ms),
            lines=list(self._lines.rows.values()),
            tasks=list(self._tasks.values()),
            waiting=self._waiting[0],
            waiting_step=self._waiting[1],
            steps=self._steps,
        )

    def _cause(self, cause_id: str | None, own_id: str) -> Cause | None:
        if cause_id is None or cause_id == own_id:
            return None  # a fact from outside: its own beginning
        return Cause(cause_id, self._numbers.get(cause_id))

    def _follow(self, step: Step, entry: Entry, data: Data) -> Step:
        desk, event = self._desk, entry.event
        assert event is not None
        order = desk.order(self.order_id)
        state, promised_ms = order.state, order.promised_ms
        misfits = hub.apply(desk, entry.edge_id, event, data)
        order = desk.order(self.order_id)
        self._lines.begin()
        if self._is_ours(entry, data) and not _refused(misfits):
            task = desk.tasks.get(data.task_id) if isinstance(data, PickReport) else None
            self._lines.apply(data, None if task is None else task.state)
            self._keep(step, data)
        context = context_of(data, step.by)
        if order.promised_ms is not None and order.promised_ms != promised_ms:
            before = None if promised_ms is None else to_datetime(promised_ms)
            promise = Promise(before, to_datetime(order.promised_ms))
            context = msgspec.structs.replace(context, promise=promise)
        if isinstance(data, PickReport) and (late := self._late(step, data)) is not None:
            context = msgspec.structs.replace(context, late=late)
        return msgspec.structs.replace(
            step,
            what=sentence(data, step.by),
            context=context,
            order=None if order.state == state else Change(state, order.state),
            lines=self._lines.moves,
            misfits=[f"{x.code}: {x.detail}" for x in misfits] + self._lines.faults,
        )

    def _is_ours(self, entry: Entry, data: Data) -> bool:
        """Whether an event is of the edge that keeps the order, or of one of its tasks."""
        home = self._desk.order(self.order_id).edge_id
        match data:
            case PickReport() | PickRequested():
                task: Task | None = self._desk.tasks.get(data.task_id)
                return task is not None and task.home_edge_id in (None, home)
            case OrderAccepted() | OrderParked() | OrderCancelled() | RoutePlanned():
                return entry.edge_id == home
            case _:
                return False

    def _keep(self, step: Step, data: Data) -> None:
        if isinstance(data, OrderAccepted | OrderParked | OrderCancelled | RoutePlanned):
            since = step.number if data.parked else None
            if since is not None and _same(self._waiting[0], data.parked):
                since = self._waiting[1]  # told again
            self._waiting = (data.parked, since)
        if isinstance(data, OrderAccepted):
            self._sold_by = by_of(data.payment_source)
        if isinstance(data, OrderCancelled):
            for task_id in data.withdrawn:
                if task_id in self._tasks:
                    self._tasks[task_id].since = step.time
        if isinstance(data, PickRequested):
            task = self._task(data.task_id)
            task.node_id = data.node_id
            task.given_at, task.given_step = step.time, step.number
            task.since = task.since or step.time
            task.ready_at, task.arrives_at = data.ready_at, data.arrives_at
        elif isinstance(data, PickReport):
            task = self._task(data.task_id)
            task.node_id = task.node_id or data.node_id
            task.edge_id = step.edge_id
            if not isinstance(data, PickKept):
                task.since = step.time

    def _task(self, task_id: str) -> TaskStory:
        return self._tasks.setdefault(task_id, TaskStory(task_id=task_id))

    def _late(self, step: Step, data: PickReport) -> Late | None:
        task = self._tasks.get(data.task_id)
        if task is None or step.time is None:
            return None
        due = task.arrives_at if isinstance(data, PackageDelivered) else task.ready_at
        if due is None or step.time <= due:
            return None
        return Late(task.node_id or step.by, due)


def by_of(source: str) -> str:
    """Who a CloudEvents source is: a device, a system, an edge, the hub."""
    return edge_of(source).removeprefix("/devices/").removeprefix("/")


def _refused(misfits: Iterable[Misfit]) -> bool:
    return any(x.code in ("wrong_state", "too_many_units", "task_twice") for x in misfits)


def _same(before: list[Shortage], now: list[Shortage]) -> bool:
    return [(x.line, x.quantity, x.reason) for x in before] == [
        (x.line, x.quantity, x.reason) for x in now
    ]
