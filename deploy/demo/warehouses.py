"""The warehouses: a process of MQTT clients, one per node, with shelves of their own.

    python -m deploy.demo.warehouses ORDERS_FILE

Each believes its shelves, not the edge's books. Units move only when people move them.
"""

import asyncio
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import msgspec

from deploy.demo import day
from deploy.demo.device import Days, Device, Orders, Wires, start
from deploy.demo.goods import Arrival, arrivals, opening, received
from deploy.demo.outbox import Outbox
from deploy.demo.places import draw
from deploy.demo.records import Job, Refusal, Shelves, WarehouseRecord
from deploy.demo.script import write
from deploy.demo.world import nodes
from shared.clock import ScaledClock, to_datetime, to_ms
from shared.envelope import Event, decode_data, make_event
from shared.events import (
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
    RouteRequested,
    StockMoved,
    StockReceived,
)
from shared.parts import Fulfilment, Line, PlannedLine
from shared.topics import device_source

_PROGRESS_S: Final = 0.25
_SETTLE_MIN: Final = 8
"""Simulated minutes that a task lies there before somebody takes it: it may be withdrawn."""


@dataclass(frozen=True, slots=True)
class Habits:
    """What goes wrong at a warehouse, as fractions.

    Attributes:
        rejected: of tasks, refused; a node refuses an order at most once.
        broken: of lines, with a unit that is found broken.
        each_task: lots are drawn for each task; else by content, so that every run is the same,
            and at most one unit of a stock cell breaks.
    """

    rejected: float = 0.02
    broken: float = 0.004
    each_task: bool = False


class Warehouses:
    """The people at all nodes.

    Args:
        days: simulated time.
        node_ids: the nodes.
        habits: what goes wrong there.
    """

    def __init__(self, days: Days, node_ids: Iterable[str], habits: Habits) -> None:
        """See the class."""
        self.record = WarehouseRecord(shelves={x: Shelves() for x in node_ids}, jobs=[])
        self.finishing = asyncio.Event()
        self._days = days
        self._habits = habits
        self._outboxes: dict[str, Outbox] = {}
        self._jobs: dict[str, Job] = {}
        self._working: dict[str, asyncio.Task[None]] = {}
        self._turned_down: set[tuple[str, str]] = set()
        self._stocked = 0

    def employ(self, device: Device, sku: str) -> Outbox:
        """A node's device, connected, tells what its people do.

        Args:
            device: named like the node.
            sku: something to ask about, to learn whether the edge is there.
        """
        question = RouteRequested(
            store_id=device.name,
            fulfilment=Fulfilment(kind="carry_out"),
            lines=[Line(sku=sku, quantity=1)],
        )
        outbox = self._outboxes[device.name] = Outbox(device, question, self._days.now)
        outbox.open()
        return outbox

    def open_jobs(self) -> int:
        """Jobs that somebody works on, and nodes that still have something to tell."""
        working = sum(1 for job in self._working.values() if not job.done())
        return working + sum(1 for outbox in self._outboxes.values() if not outbox.done)

    async def told(self) -> None:
        """Wait until the brokers have everything that was said."""
        for outbox in self._outboxes.values():
            await outbox.emptied()

    def repeats(self) -> int:
        """Reports that were told again because a connection was lost."""
        return sum(outbox.repeated for outbox in self._outboxes.values())

    def on_event(self, device: Device, event: Event) -> None:
        """Something came down."""
        match decode_data(event):
            case PickRequested() as task:
                known = self._jobs.get(task.task_id)
                if known is not None:
                    known.seen += 1  # said twice is one task all the same
                    return
                job = Job(
                    task_id=task.task_id,
                    node_id=device.name,
                    lines=task.lines,
                    ready_ms=to_ms(task.ready_at),
                    arrives_ms=to_ms(task.arrives_at),
                )
                self._jobs[task.task_id] = job
                self.record.jobs.append(job)
                self._working[task.task_id] = asyncio.create_task(self._work(job, task.order_id))
            case OrderCancelled() as cancelled:
                for task_id in cancelled.withdrawn:
                    self._withdraw(task_id)
            case InputRejected() as refused:
                self._refused(device.name, event.causationid or "", refused)
                self.record.refusals.append(
                    Refusal(
                        device=device.name,
                        cause=event.causationid or "",
                        code=refused.code,
                        detail=refused.detail,
                    )
                )

    def check(self) -> None:
        """Raise what went wrong in a job, which would otherwise only look unfinished."""
        for outbox in self._outboxes.values():
            outbox.check()
        for job in self._working.values():
            if job.done() and not job.cancelled():
                job.result()

    def receive(self, event: StockReceived | StockMoved, at: datetime) -> None:
        """Move units by hand, then say so."""
        shelves = self.record.shelves[event.node_id]
        if isinstance(event, StockMoved):
            shelves.send(event.lines)
        else:
            shelves.load(event.lines)
        self._stocked += 1
        self._tell(event.node_id, event, f"{event.kind}-{self._stocked}", at)

    async def expect(self, arrival: Arrival) -> None:
        """Wait for an arrival of the day; at closing time, whatever is outside comes in."""
        await self._pause(self._days.planned(arrival.at))
        self.receive(arrival.event, arrival.at)

    async def _work(self, job: Job, order_id: str) -> None:
        begun = self._days.now()
        ready = to_datetime(job.ready_ms)
        await self._pause(begun + min(timedelta(minutes=_SETTLE_MIN), (ready - begun) / 4))
        if self._turns_down(job, order_id):
            self._say(job, PickRejected(task_id=job.task_id, reason="no hands today"))
            return
        self._say(job, PickAccepted(task_id=job.task_id))
        await self._pause(begun + (ready - begun) / 2)
        self._pick(job)
        if job.missing:
            self._say(job, PickShort(task_id=job.task_id, missing=job.missing))
            if not job.shipped:
                return
        self._say(job, PickCompleted(task_id=job.task_id))
        await self._pause(begun + (ready - begun) * 0.8)
        self._say(job, PackagePacked(task_id=job.task_id))
        await self._pause(ready - timedelta(minutes=5))
        job.shipped_ms = to_ms(self._days.now())
        self._say(job, PackageShipped(task_id=job.task_id))
        if not self.finishing.is_set():
            self._working[job.task_id + " on the road"] = asyncio.create_task(self._deliver(job))

    async def _deliver(self, job: Job) -> None:
        """Most packages are on the road when the day ends, and stay there."""
        await self._pause(to_datetime(job.arrives_ms))
        if to_ms(self._days.now()) >= job.arrives_ms:
            self._say(job, PackageDelivered(task_id=job.task_id))

    def _pick(self, job: Job) -> None:
        """Take the lines off the shelf. A unit may turn out to be broken, or not be there.

        A broken unit is not replaced from the shelf: what stands there is promised to others.
        """
        shelves = self.record.shelves[job.node_id]
        for line in job.lines:
            there = min(line.quantity, max(0, shelves.left.get(line.sku, 0)))
            if there and self._breaks(job, line.sku):
                shelves.throw_away(line.sku, 1)
                job.thrown[line.sku] = 1
                there -= 1
            if there:
                shelves.left[line.sku] -= there
                job.shipped.append(_units(line, there))
            if there < line.quantity:
                job.missing.append(_units(line, line.quantity - there))

    def _breaks(self, job: Job, sku: str) -> bool:
        """A unit now and then."""
        if self._habits.each_task:
            return draw("broken", job.task_id, sku) < self._habits.broken
        broken = self.record.shelves[job.node_id].broken.get(sku, 0)
        return not broken and draw("broken", job.node_id, sku) < self._habits.broken

    def _turns_down(self, job: Job, order_id: str) -> bool:
        """A few tasks are refused, each order at most once by a node."""
        key = (job.node_id, order_id)
        content = ",".join(sorted(line.sku for line in job.lines))
        if self._habits.each_task:
            content = order_id
        if (
            key in self._turned_down
            or draw("reject", job.node_id, content) >= self._habits.rejected
        ):
            return False
        self._turned_down.add(key)
        return True

    def _refused(self, node_id: str, event_id: str, refused: InputRejected) -> None:
        if refused.retry_after_ms is not None:
            self._outboxes[node_id].again(event_id, refused.retry_after_ms / 1000)
            return
        job = self._jobs.get(event_id.rsplit(".", 2)[0])
        if refused.code == "wrong_state" and job and event_id == f"{job.task_id}.{job.state}":
            # Withdrawn before the edge had read that we have begun, and nobody told us. An older
            # report than the last one may also be refused because a later one was faster.
            self._withdraw(job.task_id)

    def _withdraw(self, task_id: str) -> None:
        """Put everything back, even what is on the road: the edge has let go of the task."""
        job = self._jobs.get(task_id)
        if job is None or job.state == "withdrawn":
            return
        for name in (task_id, task_id + " on the road"):
            if name in self._working:
                self._working[name].cancel()
        self.record.shelves[job.node_id].take_back(job)
        job.shipped_ms, job.state = None, "withdrawn"

    def _say(self, job: Job, report: PickReport) -> None:
        job.state = report.kind
        self._tell(job.node_id, report, f"{job.task_id}.{report.kind}", self._days.now())

    def _tell(self, node_id: str, data: Data, event_id: str, at: datetime) -> None:
        event = make_event(data, id=event_id, source=device_source(node_id), time=at)
        self._outboxes[node_id].say(event)

    async def _pause(self, moment: datetime) -> None:
        """Wait until a moment, or until everything is to be finished."""
        waits = [
            asyncio.create_task(self._days.until(moment)),
            asyncio.create_task(self.finishing.wait()),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()


def _units(line: PlannedLine, units: int) -> PlannedLine:
    return msgspec.structs.replace(line, quantity=units)


async def main(orders: Orders) -> None:
    """Follow the orchestrator's words: open, go, finish, record, clock."""
    days = Days(orders.make_clock(), orders.clock[2])
    script = write(day.load()).first(orders.orders)
    warehouses = Warehouses(days, [node.node_id for node in nodes()], Habits())
    wires = Wires()
    await wires.open()

    async def report() -> None:
        while True:
            jobs = warehouses.record.jobs
            wires.say(
                tasks=len(jobs),
                shipped=sum(1 for job in jobs if job.shipped_ms is not None),
                open=warehouses.open_jobs(),
            )
            await asyncio.sleep(_PROGRESS_S)

    sku = script.sales[0].payment.lines[0].sku
    async with AsyncExitStack() as stack:
        for node in nodes():
            device = Device(node.node_id, orders.ports[node.edge_id], warehouses.on_event, days.now)
            outbox = warehouses.employ(await stack.enter_async_context(device), sku)
            stack.push_async_callback(outbox.close)
        wires.say(done="connect")
        reporting = asyncio.create_task(report())
        coming: list[asyncio.Task[None]] = []
        while (word := await wires.word()) != "end":
            if word == "open":
                for node_id, shelf in opening(script).items():
                    for event in received(node_id, shelf):
                        warehouses.receive(event, days.now())
                await warehouses.told()
            elif word.startswith("go"):
                days.shift_ms = int(word.split()[1])
                coming = [
                    asyncio.create_task(warehouses.expect(arrival)) for arrival in arrivals(script)
                ]
            elif word == "finish":
                await asyncio.gather(*coming)
                warehouses.finishing.set()
            elif word.startswith("clock"):
                real_ms, simulated_ms = map(int, word.split()[1:])
                days.keep(ScaledClock(real_ms, simulated_ms, 1.0), 1.0)
            elif word == "record":
                warehouses.check()
                orders.record.write_bytes(msgspec.json.encode(warehouses.record))
            wires.say(done=word)
        reporting.cancel()


if __name__ == "__main__":
    start(main)
