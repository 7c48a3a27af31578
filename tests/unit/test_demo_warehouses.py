from datetime import UTC, datetime, timedelta

from deploy.demo.device import Days, Device
from deploy.demo.records import Job
from deploy.demo.warehouses import Habits, Warehouses
from shared.clock import to_ms
from shared.envelope import Event, make_event
from shared.events import Data, InputRejected, OrderCancelled, PickRequested
from shared.parts import PlannedLine, StockLine

SOUND = Habits(rejected=0, broken=0)
"""Nothing breaks, nobody refuses."""

NOW = datetime(2010, 12, 6, 4, tzinfo=UTC)


class Clock:
    def now_ms(self) -> int:
        return to_ms(NOW)


class Said(Device):
    """A device whose broker is a list."""

    def __init__(self, name: str) -> None:
        super().__init__(name, 0, lambda *_: None)
        self.connections = 1
        self.events: list[str] = []

    async def send(self, event: Event, connection: int) -> None:
        assert connection == 1
        self.events.append(event.type.removeprefix("pointsman.").removesuffix(".v1"))


def people(habits: Habits = SOUND, **units: int) -> tuple[Warehouses, Said]:
    warehouses, device = Warehouses(Days(Clock(), 1e9), ["dc-x"], habits), Said("dc-x")
    warehouses.employ(device, "A")
    warehouses.record.shelves["dc-x"].load(
        [StockLine(sku=sku, quantity=n) for sku, n in units.items()]
    )
    return warehouses, device


def told(data: Data, cause: str | None = None) -> Event:
    return make_event(data, id="e", source="/edges/edge-x", time=NOW, causationid=cause)


def task(**units: int) -> Event:
    return told(
        PickRequested(
            task_id="order.1.0",
            order_id="order",
            home_edge_id="edge-x",
            node_id="dc-x",
            service_id="economy",
            lines=[
                PlannedLine(line=i, sku=sku, quantity=n) for i, (sku, n) in enumerate(units.items())
            ],
            ready_at=NOW + timedelta(hours=1),
            arrives_at=NOW + timedelta(hours=9),
        )
    )


async def finish(warehouses: Warehouses) -> Job:
    warehouses.finishing.set()
    for working in list(warehouses._working.values()):
        await working
    await warehouses.told()
    warehouses.check()
    (job,) = warehouses.record.jobs
    return job


async def test_a_task_is_picked_packed_and_shipped():
    warehouses, device = people(A=5)
    warehouses.on_event(device, task(A=3))
    job = await finish(warehouses)
    assert device.events == ["pick.accepted", "pick.completed", "package.packed", "package.shipped"]
    assert warehouses.record.shelves["dc-x"].left == {"A": 2}
    assert job.shipped_ms is not None


async def test_a_task_said_twice_is_done_once():
    warehouses, device = people(A=5)
    warehouses.on_event(device, task(A=3))
    warehouses.on_event(device, task(A=3))
    job = await finish(warehouses)
    assert job.seen == 2
    assert warehouses.record.shelves["dc-x"].left == {"A": 2}


async def test_what_is_not_on_the_shelf_is_missing():
    warehouses, device = people(A=1)
    warehouses.on_event(device, task(A=3))
    job = await finish(warehouses)
    assert [line.quantity for line in job.missing] == [2]
    assert [line.quantity for line in job.shipped] == [1]
    assert "pick.short" in device.events


async def test_a_task_of_nothing_but_missing_units_ends_there():
    warehouses, device = people(B=1)
    warehouses.on_event(device, task(A=3))
    await finish(warehouses)
    assert device.events == ["pick.accepted", "pick.short"]


async def test_a_broken_unit_is_thrown_away_and_not_replaced():
    warehouses, device = people(Habits(rejected=0, broken=1), A=5)
    warehouses.on_event(device, task(A=3))
    job = await finish(warehouses)
    shelves = warehouses.record.shelves["dc-x"]
    assert (shelves.broken, shelves.left) == ({"A": 1}, {"A": 2})
    assert [line.quantity for line in job.shipped] == [2]


async def test_a_refused_task_leaves_the_shelf_alone():
    warehouses, device = people(Habits(rejected=1, broken=0), A=5)
    warehouses.on_event(device, task(A=3))
    job = await finish(warehouses)
    assert device.events == ["pick.rejected"]
    assert job.state == "pick.rejected"
    assert warehouses.record.shelves["dc-x"].left == {"A": 5}


async def test_a_withdrawn_task_is_dropped():
    warehouses, device = people(A=5)
    warehouses.on_event(device, task(A=3))
    warehouses.on_event(device, told(OrderCancelled(order_id="order", withdrawn=["order.1.0"])))
    (job,) = warehouses.record.jobs
    assert job.state == "withdrawn"
    assert warehouses.record.shelves["dc-x"].left == {"A": 5}
    assert device.events == []


async def test_a_task_whose_withdrawal_got_lost_is_put_back_when_its_report_is_refused():
    warehouses, device = people(Habits(rejected=0, broken=1), A=5)
    warehouses.on_event(device, task(A=3))
    job = await finish(warehouses)
    shelves = warehouses.record.shelves["dc-x"]
    assert (job.state, shelves.left, shelves.broken) == ("package.shipped", {"A": 2}, {"A": 1})
    refusal = InputRejected(code="wrong_state", detail="it is withdrawn", place="$.data.task_id")
    warehouses.on_event(device, told(refusal, "order.1.0.pick.accepted"))
    assert job.state == "package.shipped"  # perhaps a later report was faster
    warehouses.on_event(device, told(refusal, "order.1.0.package.shipped"))
    assert (job.state, job.shipped, job.shipped_ms) == ("withdrawn", [], None)
    assert (shelves.left, shelves.broken) == ({"A": 5}, {"A": 0})
