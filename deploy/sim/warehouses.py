"""Virtual warehouses: what stands on their shelves is the truth that all else is held against."""

from random import Random
from typing import Final

from deploy.sim.agenda import Agenda
from deploy.sim.scenario import START_MS, World
from deploy.sim.site import Site
from shared.clock import to_datetime
from shared.envelope import decode_data, decode_event, encode_event, make_event
from shared.events import (
    CapacityAnnounced,
    Data,
    InputRejected,
    OrderCancelled,
    PackageDelivered,
    PackagePacked,
    PackageShipped,
    PickAccepted,
    PickCompleted,
    PickRejected,
    PickReport,
    PickRequested,
    PickShort,
    PickWithdrawn,
    StockCounted,
    StockExpected,
    StockMoved,
    StockReceived,
)
from shared.lots import Reason
from shared.parts import CountLine, PlannedLine, Slot, StockLine
from shared.tasks import TaskState, after
from shared.topics import device_source, up

RETRY_MS: Final = (1_500, 4_000)
REFUSED_FOR_NOW: Final = frozenset(
    {"storage_failed", "stale_store", "overloaded", "no_network", "outbox_full"}
)
_STEPS: Final[tuple[type[PickReport], ...]] = (
    PickAccepted, PickAccepted, PickCompleted, PackagePacked, PackageShipped, PackageShipped,
    PackageDelivered, PickShort, PickRejected,
)  # fmt: skip


class Warehouse:
    """One node's warehouse.

    Attributes:
        shelf: SKU to units that stand there.
        others: all warehouses by node; to be set before the first act.
    """

    def __init__(
        self, agenda: Agenda, random: Random, world: World, node_id: str, site: Site, losses: bool
    ) -> None:
        """See the class."""
        self.node_id = node_id
        self.shelf: dict[str, int] = {}
        self.tasks: dict[str, tuple[TaskState, list[PlannedLine]]] = {}
        self.said: dict[str, tuple[str, bytes]] = {}
        self._agenda, self._random, self._world, self._site = agenda, random, world, site
        self._losses = losses
        self.others: dict[str, Warehouse] = {}
        self._lots: dict[str, StockExpected] = {}
        self._count = 0
        self._again: set[str] = set()
        self._closed: set[str] = set()

    @property
    def waits(self) -> bool:
        """Whether a report is to be sent again."""
        return bool(self._again)

    def act(self) -> None:
        """Do one thing."""
        draw = self._random.random()
        sku = self._random.choice(self._world.skus)
        if draw < 0.72 and self.tasks:
            self._report()
        elif draw < 0.84:
            self.receive(sku, self._random.randint(1, 6))
        elif draw < 0.90 and self._losses:
            # Stolen, broken, mislaid: nobody knows before somebody looks.
            self.shelf[sku] = max(0, self.shelf.get(sku, 0) - self._random.randint(1, 3))
        elif draw < 0.94:
            self._count_shelf(sku)
        elif draw < 0.95:
            self._announce()
        elif draw < 0.98:
            self._expect(sku)
        elif self.shelf.get(sku, 0) > 0:
            self._move(sku)

    def receive(
        self, sku: str, units: int, reason: Reason = "purchase", lot_id: str | None = None
    ) -> None:
        """Goods arrive."""
        self.shelf[sku] = self.shelf.get(sku, 0) + units
        lines = [StockLine(sku=sku, quantity=units)]
        self._say(StockReceived(node_id=self.node_id, lines=lines, reason=reason, lot_id=lot_id))

    def hear(self, kind: str, payload: bytes) -> None:
        """A task, or news of one, or a refusal."""
        event = decode_event(payload)
        data = decode_data(event)
        match data:
            case PickRequested():
                if data.task_id not in self._closed:
                    self.tasks.setdefault(data.task_id, ("issued", data.lines))
            case PickWithdrawn():
                self._drop(data.task_id)
            case OrderCancelled():
                for task_id in data.withdrawn:
                    self._drop(task_id)
            case PickShort():
                self._shorten(data)
            case InputRejected():
                self._refused(event.causationid or "", data.code)
            case _:
                pass

    def _move_on(self, task_id: str, state: TaskState, lines: list[PlannedLine]) -> None:
        self.tasks[task_id] = (state, lines)
        if state in ("delivered", "rejected", "withdrawn"):
            del self.tasks[task_id]
            self._closed.add(task_id)

    def _drop(self, task_id: str) -> None:
        if task_id in self.tasks:
            self._move_on(task_id, "withdrawn", [])

    def _shorten(self, told: PickShort) -> None:
        if told.task_id in self.tasks:
            state, lines = self.tasks[told.task_id]
            left = _without(lines, told.missing)
            self._move_on(told.task_id, state if left else "rejected", left)

    def _refused(self, event_id: str, code: str) -> None:
        if code in REFUSED_FOR_NOW and event_id in self.said and event_id not in self._again:
            self._again.add(event_id)
            self._agenda.after(
                self._random.randint(*RETRY_MS), f"{self.node_id} says again",
                lambda: self._say_again(event_id),
            )  # fmt: skip

    def _say_again(self, event_id: str) -> None:
        self._again.discard(event_id)
        self._site.publish(*self.said[event_id])

    def _report(self) -> None:
        task_id = self._random.choice(list(self.tasks)[-8:])
        state, lines = self.tasks[task_id]
        kind = self._random.choice(_STEPS)
        reached = after(kind.kind, state)
        if reached is None:
            return
        if kind in (PickCompleted, PackagePacked, PackageShipped) and state in (
            "issued",
            "accepted",
        ):
            missing = self._missing(lines)
            if missing:
                kind = PickShort
                self._short(task_id, state, lines, missing)
                return
        if kind is PickShort:
            if not self._losses:
                return
            line = self._random.choice(lines)
            units = self._random.randint(1, line.quantity)
            gone = PlannedLine(line=line.line, sku=line.sku, quantity=units)
            self.shelf[line.sku] = max(0, self.shelf.get(line.sku, 0) - units)
            self._short(task_id, state, lines, [gone])
            return
        if kind is PackageShipped:
            for line in lines:
                self.shelf[line.sku] = self.shelf.get(line.sku, 0) - line.quantity
        self._move_on(task_id, reached, lines)
        self._say(kind(task_id=task_id))

    def _missing(self, lines: list[PlannedLine]) -> list[PlannedLine]:
        missing, taken = [], dict[str, int]()
        for line in lines:
            there = max(0, self.shelf.get(line.sku, 0) - taken.get(line.sku, 0))
            taken[line.sku] = taken.get(line.sku, 0) + min(there, line.quantity)
            if there < line.quantity:
                units = line.quantity - there
                missing.append(PlannedLine(line=line.line, sku=line.sku, quantity=units))
        return missing

    def _short(
        self, task_id: str, state: TaskState, lines: list[PlannedLine], missing: list[PlannedLine]
    ) -> None:
        left = _without(lines, missing)
        self._move_on(task_id, state if left else "rejected", left)
        self._say(PickShort(task_id=task_id, missing=missing))

    def _count_shelf(self, sku: str) -> None:
        line = CountLine(sku=sku, quantity=max(0, self.shelf.get(sku, 0)))
        self._say(StockCounted(node_id=self.node_id, lines=[line]))

    def _announce(self) -> None:
        """Say how many packages can be picked in the hours that come."""
        now_ms = START_MS + self._agenda.now_ms
        hour_ms = 3_600_000
        first_ms = now_ms - now_ms % hour_ms
        slots = [
            Slot(
                starts_at=to_datetime(first_ms + at * hour_ms),
                ends_at=to_datetime(first_ms + (at + 1) * hour_ms),
                packages=self._random.randint(0, 6),
            )
            for at in range(self._random.randint(1, 4))
        ]
        self._say(CapacityAnnounced(node_id=self.node_id, slots=slots))

    def _expect(self, sku: str) -> None:
        """Announce goods, or say something else of those that were announced before."""
        known = self._random.choice(sorted(self._lots)) if self._lots else ""
        lot_id = known if self._random.random() < 0.4 and known else f"lot-{self._count}"
        due_ms = self._random.randint(1_000, 30_000)
        inspected = self._random.random() < 0.4
        lines = [StockLine(sku=sku, quantity=self._random.randint(1, 6))]
        expected = self._lots[lot_id] = StockExpected(
            node_id=self.node_id,
            lot_id=lot_id,
            lines=[] if lot_id == known and self._random.random() < 0.3 else lines,
            expected_at=to_datetime(START_MS + self._agenda.now_ms + due_ms),
            reason="inspection" if inspected else "purchase",
            release_per_mille=self._random.choice((0, 300, 900)) if inspected else 1_000,
        )
        self._say(expected)
        late_ms = self._random.choice((0, 0, 10_000))
        self._agenda.after(
            due_ms + late_ms, f"{lot_id} at {self.node_id}", lambda: self._arrive(expected)
        )

    def _arrive(self, expected: StockExpected) -> None:
        """What has come of a lot: all of it, some, or nothing."""
        if self._lots.get(expected.lot_id) is not expected:
            return  # Something else was said of it since.
        del self._lots[expected.lot_id]
        for line in expected.lines:
            units = self._random.choice((0, line.quantity, line.quantity, line.quantity // 2))
            if units:
                self.receive(line.sku, units, expected.reason, expected.lot_id)

    def _move(self, sku: str) -> None:
        units = self._random.randint(1, self.shelf[sku])
        self.shelf[sku] -= units
        to_node_id = self._random.choice(sorted(x for x in self.others if x != self.node_id))
        event_id = self._say(
            StockMoved(
                node_id=self.node_id,
                to_node_id=to_node_id,
                lines=[StockLine(sku=sku, quantity=units)],
                expected_at=to_datetime(START_MS + self._agenda.now_ms + 20_000),
            )
        )
        came = self._random.randint(0, units)
        named = f"{self.node_id}/{event_id}" if self._random.random() < 0.5 else None
        if came:
            self._agenda.after(
                self._random.randint(5_000, 25_000), f"{event_id} at {to_node_id}",
                lambda: self.others[to_node_id].receive(sku, came, "transfer", named),
            )  # fmt: skip

    def _say(self, data: Data) -> str:
        self._count += 1
        event_id = f"{self.node_id}-{self._count}"
        event = make_event(
            data, id=event_id, source=device_source(self.node_id),
            time=to_datetime(START_MS + self._agenda.now_ms),
        )  # fmt: skip
        self.said[event_id] = (up(self.node_id, data.kind), encode_event(event))
        self._site.publish(*self.said[event_id])
        return event_id


def _without(lines: list[PlannedLine], missing: list[PlannedLine]) -> list[PlannedLine]:
    gone = {line.line: line.quantity for line in missing}
    return [
        PlannedLine(line=x.line, sku=x.sku, quantity=x.quantity - gone.get(x.line, 0))
        for x in lines
        if x.quantity > gone.get(x.line, 0)
    ]
