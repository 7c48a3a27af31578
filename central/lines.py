"""What has become of each unit of an order's lines: how many are in which state. Pure.

Units move and never appear or vanish: the states of a line always add up to what was paid. An
event that says more than there is moves what there is, and the rest is named.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct

from central.lifecycle import LINE_OF_TASK, LINE_STEPS, LineState
from shared.events import (
    Data,
    OrderAccepted,
    OrderCancelled,
    OrderParked,
    PackageShipped,
    PickKept,
    PickReport,
    PickRequested,
    PickShort,
    PickWithdrawn,
    RoutePlanned,
)
from shared.parts import Plan, PlannedLine, Shortage
from shared.tasks import TaskState

_FITS: Final = {(step.before, step.after) for step in LINE_STEPS}


class LineUnits(Struct):
    """A line of an order: `states` tells units by state, and leaves out empty ones."""

    line: int
    sku: str
    quantity: int
    states: dict[LineState, int]


class LineMove(Struct, frozen=True, omit_defaults=True):
    """Units of a line that an event has moved; `before` is None where the order begins."""

    line: int
    sku: str
    quantity: int
    before: LineState | None
    after: LineState


class TaskUnits(Struct):
    """What a task still has of each line, and where these units are."""

    state: LineState
    units: dict[int, int]


class Lines:
    """The lines of one order, moved by its events in the order of their causes.

    Attributes:
        rows: by line number; empty until the order is known.
        tasks: by id, in the order in which they were asked for.
        moves: what the last event has moved.
        faults: what the last event has said that cannot be.
    """

    def __init__(self) -> None:
        """See the class."""
        self.rows: dict[int, LineUnits] = {}
        self.tasks: dict[str, TaskUnits] = {}
        self.moves: list[LineMove] = []
        self.faults: list[str] = []
        # Tasks at other edges' nodes that were asked to be dropped: units of each line.
        self._asked: dict[str, dict[int, int]] = {}

    def begin(self) -> None:
        """Forget what the last event has done; another one follows."""
        self.moves, self.faults = [], []

    def apply(self, data: Data, reached: TaskState | None) -> None:
        """Move units by an event of the order that fits.

        Args:
            data: of the order's own edge, or a report on a task of the order.
            reached: for a report, the state in which its task is after it.
        """
        match data:
            case OrderAccepted():
                self._accept(data)
            case RoutePlanned():
                self._plan(data.plan, data.parked)
            case OrderParked():
                self._plan(None, data.parked)
            case OrderCancelled():
                self._cancel(data)
            case PickRequested():
                self._request(data)
            case PickReport() if reached is not None:
                self._report(data, reached)
            case _:
                pass

    def waiting(self) -> int:
        """Units that wait."""
        return sum(row.states.get("parked", 0) for row in self.rows.values())

    def _accept(self, data: OrderAccepted) -> None:
        planned, parked = _planned(data.plan), _parked(data.parked)
        for number, line in enumerate(data.payment.lines):
            row = LineUnits(number, line.sku, line.quantity, {})
            self.rows[number] = row
            rest = line.quantity
            for state, units in (("planned", planned), ("parked", parked)):
                taken = min(units.pop(number, 0), rest)
                rest -= taken
                self._add(row, None, "planned" if state == "planned" else "parked", taken)
            if rest:
                self.faults.append(f"nothing is said of {rest} units of line {number}")
                self._add(row, None, "short", rest)
        for number in sorted({*planned, *parked}):
            self.faults.append(f"the order has no line {number}")

    def _plan(self, plan: Plan | None, shortages: Iterable[Shortage]) -> None:
        """What waits from now on, and what is planned besides."""
        planned, parked = _planned(plan), _parked(shortages)
        for number, row in self.rows.items():
            before, now = row.states.get("parked", 0), parked.pop(number, 0)
            wanted = planned.pop(number, 0)
            freed = min(max(before - now, 0), wanted)
            self._move(number, "parked", "planned", freed)
            self._move(number, "short", "planned", wanted - freed)
            self._wait(number, now)
        for number in sorted({*planned, *parked}):
            self.faults.append(f"the order has no line {number}")

    def _wait(self, number: int, now: int) -> None:
        """Let exactly so many units of a line wait."""
        states = self.rows[number].states
        before = states.get("parked", 0)
        if before > now:
            self.faults.append(f"{before - now} units of line {number} wait no more; why is unsaid")
            self._move(number, "parked", "short", before - now)
        failed = min(max(now - before, 0), states.get("short", 0))
        self._move(number, "short", "parked", failed)
        self._move(number, "planned", "parked", now - before - failed, most=self._free(number))

    def _cancel(self, data: OrderCancelled) -> None:
        parked, unparked = _parked(data.parked), _units(data.unparked)
        # As the edge does: first what waits, then package by package.
        left = _units(data.lines) or self._held()
        for number, units in unparked.items():
            if number in self.rows:
                before = self.rows[number].states.get("parked", 0)
                waited = min(units, max(before - parked.get(number, 0), 0))
                self._move(number, "parked", "cancelled", waited)
                self._move(number, "short", "cancelled", units - waited)
            left[number] = left.get(number, 0) - units
        asked = {task.task_id for task in data.asked}
        for task_id, task in self.tasks.items():
            if task_id in data.withdrawn and task_id in self._asked:
                self._drop(task, self._asked.pop(task_id))
            elif task_id in asked or task_id in data.withdrawn:
                gone = {n: max(min(x, left.get(n, 0)), 0) for n, x in task.units.items()}
                for number, units in gone.items():
                    left[number] = left.get(number, 0) - units
                if task_id in asked:
                    self._asked[task_id] = gone
                else:
                    self._drop(task, gone)
        for number in self.rows:
            self._wait(number, parked.get(number, 0))

    def _held(self) -> dict[int, int]:
        """Units of each line that wait or are in a task, and are not asked to be dropped."""
        held = {row.line: row.states.get("parked", 0) for row in self.rows.values()}
        for task_id, task in self.tasks.items():
            dropped = self._asked.get(task_id, {})
            for number, units in task.units.items():
                held[number] = held.get(number, 0) + units - dropped.get(number, 0)
        return held

    def _drop(self, task: TaskUnits, gone: Mapping[int, int]) -> None:
        """A task is withdrawn: some of it is not wanted, the rest is asked for anew."""
        for number, units in gone.items():
            self._move(number, task.state, "cancelled", min(units, task.units.get(number, 0)))
        task.units = {}

    def _request(self, data: PickRequested) -> None:
        if data.task_id in self.tasks:
            return
        self.tasks[data.task_id] = TaskUnits("planned", self._take(_units(data.lines)))

    def _take(self, wanted: Mapping[int, int]) -> dict[int, int]:
        """Of these units, those that are planned and in no task yet."""
        taken = {}
        for number, units in wanted.items():
            taken[number] = min(units, self._free(number))
            if taken[number] < units:
                self.faults.append(
                    f"{units} units of line {number} are asked for; {taken[number]} are planned"
                )
        return {number: units for number, units in taken.items() if units}

    def _free(self, number: int) -> int:
        """Units of a line that are planned and in no task."""
        row = self.rows.get(number)
        if row is None:
            return 0
        bound = sum(x.units.get(number, 0) for x in self.tasks.values() if x.state == "planned")
        return row.states.get("planned", 0) - bound

    def _report(self, data: PickReport, reached: TaskState) -> None:
        if isinstance(data, PickKept):
            self._asked.pop(data.task_id, None)
        task = self.tasks.get(data.task_id)
        if task is None and isinstance(data, PackageShipped):
            # Carried out of the store: a package without a task.
            task = TaskUnits("planned", self._take(_units(data.lines)))
            self.tasks[data.task_id] = task
        if task is None or isinstance(data, PickWithdrawn | PickKept):
            return
        if isinstance(data, PickShort):
            self._fail(task, data)
            return
        if isinstance(data, PackageShipped) and data.lines and _units(data.lines) != task.units:
            self.faults.append("other units have left than the task has")
        state = LINE_OF_TASK[reached]
        for number, units in task.units.items():
            self._move(number, task.state, state, units)
        task.state = state
        if state == "short":
            task.units = {}

    def _fail(self, task: TaskUnits, data: PickShort) -> None:
        for number, units in _units(data.missing).items():
            has = task.units.get(number, 0)
            if units > has:
                self.faults.append(
                    f"{units} units of line {number} are missing; the task has {has}"
                )
            failed = min(units, has)
            self._move(number, task.state, "short", failed)
            task.units[number] = has - failed
            dropped = self._asked.get(data.task_id, {})
            if number in dropped:
                dropped[number] = max(dropped[number] - failed, 0)
        task.units = {number: units for number, units in task.units.items() if units}

    def _move(
        self, number: int, before: LineState, after: LineState, units: int, most: int | None = None
    ) -> None:
        row = self.rows.get(number)
        if row is None or units <= 0 or before == after:
            return
        if (before, after) not in _FITS:
            self.faults.append(f"{units} units of line {number} cannot go from {before} to {after}")
            return
        there = row.states.get(before, 0) if most is None else most
        if units > there:
            self.faults.append(f"{units - there} units of line {number} are not {before}")
        units = min(units, there)
        if units:
            row.states[before] -= units
            if not row.states[before]:
                del row.states[before]
            self._add(row, before, after, units)

    def _add(self, row: LineUnits, before: LineState | None, after: LineState, units: int) -> None:
        if units:
            row.states[after] = row.states.get(after, 0) + units
            self.moves.append(LineMove(row.line, row.sku, units, before, after))


def _planned(plan: Plan | None) -> dict[int, int]:
    packages = [] if plan is None else plan.packages
    return _units(line for package in packages for line in package.lines)


def _parked(shortages: Iterable[Shortage]) -> dict[int, int]:
    found: dict[int, int] = {}
    for x in shortages:
        found[x.line] = found.get(x.line, 0) + x.quantity
    return found


def _units(lines: Iterable[PlannedLine]) -> dict[int, int]:
    found: dict[int, int] = {}
    for x in lines:
        found[x.line] = found.get(x.line, 0) + x.quantity
    return found
