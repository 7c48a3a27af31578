from datetime import UTC, datetime, timedelta

import pytest

from deploy.demo.device import Days, Device
from deploy.demo.records import Job, Shelves
from deploy.demo.warehouses import Warehouses
from shared.clock import to_ms
from shared.envelope import Event, make_event
from shared.events import Data, OrderCancelled, PickRequested
from shared.parts import PlannedLine, StockLine

NOW = datetime(2010, 12, 6, 4, tzinfo=UTC)


class Clock:
    def now_ms(self) -> int:
        return to_ms(NOW)


class Said(Device):
    """A device whose broker is a list."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.events: list[str] = []

    async def publish(self, event: Event) -> None:
        self.events.append(event.type.removeprefix("pointsman.").removesuffix(".v1"))


def people(**units: int) -> Warehouses:
    warehouses = Warehouses(Days(Clock(), 1e9))
    warehouses.record.shelves = {"dc-x": Shelves()}
    warehouses.record.shelves["dc-x"].load(
        [StockLine(sku=sku, quantity=n) for sku, n in units.items()]
    )
    return warehouses


def told(data: Data) -> Event:
    return make_event(data, id="e", source="/edges/edge-x", time=NOW)


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
    warehouses.check()
    (job,) = warehouses.record.jobs
    return job


@pytest.fixture(autouse=True)
def sound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing breaks, nobody refuses."""
    monkeypatch.setattr("deploy.demo.warehouses.draw", lambda *_: 0.9)


async def test_a_task_is_picked_packed_and_shipped():
    warehouses, device = people(A=5), Said("dc-x")
    warehouses.on_event(device, task(A=3))
    job = await finish(warehouses)
    assert device.events == ["pick.accepted", "pick.completed", "package.packed", "package.shipped"]
    assert warehouses.record.shelves["dc-x"].left == {"A": 2}
    assert job.shipped_ms is not None


async def test_a_task_said_twice_is_done_once():
    warehouses, device = people(A=5), Said("dc-x")
    warehouses.on_event(device, task(A=3))
    warehouses.on_event(device, task(A=3))
    job = await finish(warehouses)
    assert job.seen == 2
    assert warehouses.record.shelves["dc-x"].left == {"A": 2}


async def test_what_is_not_on_the_shelf_is_missing():
    warehouses, device = people(A=1), Said("dc-x")
    warehouses.on_event(device, task(A=3))
    job = await finish(warehouses)
    assert [line.quantity for line in job.missing] == [2]
    assert [line.quantity for line in job.shipped] == [1]
    assert "pick.short" in device.events


async def test_a_task_of_nothing_but_missing_units_ends_there():
    warehouses, device = people(B=1), Said("dc-x")
    warehouses.on_event(device, task(A=3))
    await finish(warehouses)
    assert device.events == ["pick.accepted", "pick.short"]


async def test_a_broken_unit_is_thrown_away_and_not_replaced(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        "deploy.demo.warehouses.draw", lambda *key: 0.0 if key[0] == "broken" else 0.9
    )
    warehouses, device = people(A=5), Said("dc-x")
    warehouses.on_event(device, task(A=3))
    job = await finish(warehouses)
    shelves = warehouses.record.shelves["dc-x"]
    assert (shelves.broken, shelves.left) == ({"A": 1}, {"A": 2})
    assert [line.quantity for line in job.shipped] == [2]


async def test_a_refused_task_leaves_the_shelf_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        "deploy.demo.warehouses.draw", lambda *key: 0.0 if key[0] == "reject" else 0.9
    )
    warehouses, device = people(A=5), Said("dc-x")
    warehouses.on_event(device, task(A=3))
    job = await finish(warehouses)
    assert device.events == ["pick.rejected"]
    assert job.state == "pick.rejected"
    assert warehouses.record.shelves["dc-x"].left == {"A": 5}


async def test_a_withdrawn_task_is_dropped():
    warehouses, device = people(A=5), Said("dc-x")
    warehouses.on_event(device, task(A=3))
    warehouses.on_event(device, told(OrderCancelled(order_id="order", withdrawn=["order.1.0"])))
    (job,) = warehouses.record.jobs
    assert job.state == "withdrawn"
    assert warehouses.record.shelves["dc-x"].left == {"A": 5}
    assert device.events == []
