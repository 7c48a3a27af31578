"""The warehouses: a process of MQTT clients, one per node, with shelves of their own.

    python -m deploy.demo.warehouses ORDERS_FILE

Each believes its shelves, not the edge's books. Units move only when people move them.
"""

import asyncio
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from typing import Final

import msgspec

from deploy.demo import day
from deploy.demo.device import Days, Device, Orders, Wires, start
from deploy.demo.goods import Arrival, arrivals, opening, received
from deploy.demo.places import draw
from deploy.demo.records import Job, Refusal, Shelves, WarehouseRecord
from deploy.demo.script import write
from deploy.demo.world import nodes
from shared.clock import ScaledClock, to_datetime, to_ms
from shared.envelope import Event, decode_data
from shared.events import (
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
    StockMoved,
    StockReceived,
)
from shared.parts import PlannedLine

_PROGRESS_S: Final = 0.25
_SETTLE_MIN: Final = 8
"""Simulated minutes that a task lies there before somebody takes it: it may be withdrawn."""

_REJECTED_SHARE: Final = 0.02
_BROKEN_SHARE: Final = 0.004


class Warehouses:
    """The people at all nodes.

    Args:
        days: simulated time.
    """

    def __init__(self, days: Days) -> None:
        """See the class."""
        self.devices: dict[str, Device] = {}
        self.record = WarehouseRecord(shelves={n.node_id: Shelves() for n in nodes()}, jobs=[])
        self.finishing = asyncio.Event()
        self._days = days
        self._jobs: dict[str, Job] = {}
        self._working: dict[str, asyncio.Task[None]] = {}
        self._refused: set[tuple[str, str]] = set()
        self._stocked = 0

    def open_jobs(self) -> int:
        """Jobs that somebody works on."""
        return sum(1 for job in self._working.values() if not job.done())

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
                self._working[task.task_id] = asyncio.create_task(
                    self._work(device, job, task.order_id)
                )
            case OrderCancelled() as cancelled:
                for task_id in cancelled.withdrawn:
                    self._withdraw(task_id)
            case InputRejected() as refused:
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
        for job in self._working.values():
            if job.done() and not job.cancelled():
                job.result()

    async def receive(self, event: StockReceived | StockMoved, at: datetime) -> None:
        """Move units by hand, then say so."""
        shelves = self.record.shelves[event.node_id]
        if isinstance(event, StockMoved):
            shelves.send(event.lines)
        else:
            shelves.load(event.lines)
        self._stocked += 1
        device = self.devices[event.node_id]
        await device.publish(device.event(event, f"{event.kind}-{self._stocked}", at))

    async def expect(self, arrival: Arrival) -> None:
        """Wait for an arrival of the day; at closing time, whatever is outside comes in."""
        await self._pause(self._days.planned(arrival.at))
        await self.receive(arrival.event, arrival.at)

    async def _work(self, device: Device, job: Job, order_id: str) -> None:
        begun = self._days.now()
        ready = to_datetime(job.ready_ms)
        await self._pause(begun + min(timedelta(minutes=_SETTLE_MIN), (ready - begun) / 4))
        if self._turns_down(job, order_id):
            await self._say(device, job, PickRejected(task_id=job.task_id, reason="no hands today"))
            return
        await self._say(device, job, PickAccepted(task_id=job.task_id))
        await self._pause(begun + (ready - begun) / 2)
        self._pick(job)
        if job.missing:
            await self._say(device, job, PickShort(task_id=job.task_id, missing=job.missing))
            if not job.shipped:
                return
        await self._say(device, job, PickCompleted(task_id=job.task_id))
        await self._pause(begun + (ready - begun) * 0.8)
        await self._say(device, job, PackagePacked(task_id=job.task_id))
        await self._pause(ready - timedelta(minutes=5))
        job.shipped_ms = to_ms(self._days.now())
        await self._say(device, job, PackageShipped(task_id=job.task_id))
        if not self.finishing.is_set():
            self._working[job.task_id + " on the road"] = asyncio.create_task(
                self._deliver(device, job)
            )

    async def _deliver(self, device: Device, job: Job) -> None:
        """Most packages are on the road when the day ends, and stay there."""
        await self._pause(to_datetime(job.arrives_ms))
        if to_ms(self._days.now()) >= job.arrives_ms:
            await self._say(device, job, PackageDelivered(task_id=job.task_id))

    def _pick(self, job: Job) -> None:
        """Take the lines off the shelf. A unit may turn out to be broken, or not be there.

        A broken unit is not replaced from the shelf: what stands there is promised to others.
        """
        shelves = self.record.shelves[job.node_id]
        for line in job.lines:
            there = min(line.quantity, max(0, shelves.left.get(line.sku, 0)))
            fragile = draw("broken", job.node_id, line.sku) < _BROKEN_SHARE
            if fragile and there and line.sku not in shelves.broken:
                shelves.throw_away(line.sku, 1)
                there -= 1
            if there:
                shelves.left[line.sku] -= there
                job.shipped.append(_units(line, there))
            if there < line.quantity:
                job.missing.append(_units(line, line.quantity - there))

    def _turns_down(self, job: Job, order_id: str) -> bool:
        """A few tasks are refused, each order at most once by a node."""
        key = (job.node_id, order_id)
        content = ",".join(sorted(line.sku for line in job.lines))
        if key in self._refused or draw("reject", job.node_id, content) >= _REJECTED_SHARE:
            return False
        self._refused.add(key)
        return True

    def _withdraw(self, task_id: str) -> None:
        job = self._jobs.get(task_id)
        if job is None or job.shipped_ms is not None:
            return
        working = self._working.get(task_id)
        if working is not None:
            working.cancel()
        for line in job.shipped:  # picked and not gone: back on the shelf
            self.record.shelves[job.node_id].left[line.sku] += line.quantity
        job.shipped, job.state = [], "withdrawn"

    async def _say(self, device: Device, job: Job, report: PickReport) -> None:
        job.state = report.kind
        event_id = f"{job.task_id}.{report.kind}"
        await device.publish(device.event(report, event_id, self._days.now()))

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
    warehouses = Warehouses(days)
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

    async with AsyncExitStack() as stack:
        for node in nodes():
            device = Device(node.node_id, orders.ports[node.edge_id], warehouses.on_event)
            warehouses.devices[node.node_id] = await stack.enter_async_context(device)
        wires.say(done="connect")
        reporting = asyncio.create_task(report())
        coming: list[asyncio.Task[None]] = []
        while (word := await wires.word()) != "end":
            if word == "open":
                for node_id, shelf in opening(script).items():
                    for event in received(node_id, shelf):
                        await warehouses.receive(event, days.now())
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
