import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from deploy.demo.counts import spread
from deploy.demo.ledgers import integrity, read_central, read_edge, read_standing
from deploy.demo.progress import table
from deploy.demo.records import Job, Packed, Receipt, Refusal, Shelves, TillRecord, WarehouseRecord
from deploy.demo.report import Circumstances, Cut, Outage, count
from shared.parts import PlannedLine

SOURCE = "/devices/till-1"
TABLES = """
create table ledger (position integer primary key, edge_id, sequence integer, raw blob);
create table accounts (
    node_id, sku, pool integer, committed integer, shipped integer,
    received integer, adjusted integer
);
create table shares (edge_id, node_id, sku, units integer);
create table tasks (task_id, state);
create table poison (code);
create table exceptions (code);
"""
EDGE_TABLES = """
create table log (position integer primary key, type, event blob);
create table cells (node_id, sku, share integer);
"""


class Scene:
    """One delivery of two units and one carry-out of one; ten were loaded, one broke."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tills = TillRecord(
            receipts=[
                receipt("p-1", "order-1", "delivery", 2),
                receipt("p-2", "order-2", "carry_out", 1),
            ]
        )
        job = Job(
            task_id="order-1.1.0",
            node_id="dc-1",
            lines=[PlannedLine(line=0, sku="A", quantity=3)],
            missing=[PlannedLine(line=0, sku="A", quantity=1)],
            shipped=[PlannedLine(line=0, sku="A", quantity=2)],
            ready_ms=1_000,
            arrives_ms=9_000,
            state="package.shipped",
            shipped_ms=900,
        )
        shelves = {
            "dc-1": Shelves(loaded={"A": 10}, left={"A": 7}, broken={"A": 1}),
            # The warehouse does not see who carries what out of the door.
            "store-1": Shelves(loaded={"A": 5}, left={"A": 5}),
        }
        self.warehouses = WarehouseRecord(shelves=shelves, jobs=[job])
        self.ledger = [accepted("p-1", "order-1"), accepted("p-2", "order-2")]
        self.ledger += [event("pick.requested", task_id="order-1.1.0")]
        self.ledger += [event("package.shipped", task_id="order-1.1.0")]
        self.ledger += [event("package.shipped", task_id="order-2.1.0")]
        # pool, committed, shipped, received, adjusted
        self.accounts = {
            ("dc-1", "A"): [3, 0, 2, 10, 1],
            ("store-1", "A"): [0, 0, 1, 5, 0],
        }
        self.shares = {("edge-1", "dc-1", "A"): 4, ("edge-1", "store-1", "A"): 4}
        self.cells = {("dc-1", "A"): 4, ("store-1", "A"): 4}
        self.states = {"order-1.1.0": "shipped"}
        self.exceptions: list[str] = []
        self.outages: list[Outage] = []

    def count(self) -> dict[str, Any]:
        central, edge = self.folder / "central.db", self.folder / "edge.db"
        with closing(sqlite3.connect(central)) as database, database:
            database.executescript(TABLES)
            rows = [(i, json.dumps(entry).encode()) for i, entry in enumerate(self.ledger, 1)]
            database.executemany("insert into ledger values (null, 'edge-1', ?, ?)", rows)
            database.executemany("insert into tasks values (?, ?)", self.states.items())
            database.executemany(
                "insert into accounts values (?, ?, ?, ?, ?, ?, ?)",
                [(*cell, *units) for cell, units in self.accounts.items()],
            )
            database.executemany(
                "insert into shares values (?, ?, ?, ?)",
                [(*key, units) for key, units in self.shares.items()],
            )
            noted = [(code,) for code in self.exceptions]
            database.executemany("insert into exceptions values (?)", noted)
        with closing(sqlite3.connect(edge)) as database, database:
            database.executescript(EDGE_TABLES)
            database.executemany(
                "insert into cells values (?, ?, ?)",
                [(*cell, units) for cell, units in self.cells.items()],
            )
            logged = [(i,) for i in range(1, len(self.ledger) + 1)]
            database.executemany("insert into log (position) values (?)", logged)
        around = Circumstances(day="2010-12-06", brokers="embedded", exit_codes={"central": 0})
        around.outages = self.outages
        return count(
            self.tills,
            self.warehouses,
            read_central(central, "Recipient of"),
            {"edge-1": read_edge(edge)},
            Cut("edge-1", 0, 100, 2.0),
            around,
        )


def receipt(event_id: str, order_id: str, fulfilment: str, units: int) -> Receipt:
    node_id = "store-1" if fulfilment == "carry_out" else "dc-1"
    lines = [PlannedLine(line=0, sku="A", quantity=units)]
    return Receipt(
        invoice=event_id,
        edge_id="edge-1",
        device="till-1",
        source=SOURCE,
        event_id=event_id,
        fulfilment=fulfilment,
        deadline_ms=10_000,
        order_id=order_id,
        asked_at_ms=10,
        paid_at_ms=20,
        quote_ms=1.0,
        accept_ms=2.0,
        packages=[Packed(node_id=node_id, ready_ms=1_000, arrives_ms=9_000, lines=lines)],
    )


def event(kind: str, **data: Any) -> dict[str, Any]:
    return {"type": f"pointsman.{kind}.v1", "id": f"e-{kind}", "data": data}


def accepted(event_id: str, order_id: str) -> dict[str, Any]:
    return event(
        "order.accepted", order_id=order_id, payment_source=SOURCE, payment_event_id=event_id
    )


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_a_good_day_has_no_failures(scene: Scene):
    report = scene.count()
    assert report["failures"] == []
    assert report["orders"]["in_ledger"] == 2
    assert report["stock"]["cells"] == 2
    assert report["stock"]["shipped_units"] == 3
    assert report["tasks"]["short"] == 1
    assert report["promise"]["within_deadline"] == 1.0
    assert report["wan_cut"]["orders_answered"] == 2
    json.dumps(report)


def lose_an_order(scene: Scene) -> None:
    del scene.ledger[0]


def double_an_order(scene: Scene) -> None:
    scene.ledger.append(accepted("p-1", "order-1"))


def answer_differently(scene: Scene) -> None:
    scene.tills.receipts[0].same_answer = False


def accept_nothing(scene: Scene) -> None:
    scene.tills.receipts[0].order_id = None
    scene.tills.receipts[0].accept_ms = None


def lose_a_task(scene: Scene) -> None:
    scene.ledger.append(event("pick.requested", task_id="order-9.1.0"))


def ship_twice(scene: Scene) -> None:
    scene.ledger.append(event("package.shipped", task_id="order-1.1.0"))


def misplace_a_task(scene: Scene) -> None:
    scene.states["order-1.1.0"] = "packed"


def overdraw_a_cell(scene: Scene) -> None:
    scene.accounts["dc-1", "A"][0] -= 4
    scene.accounts["dc-1", "A"][1] += 4


def ask_for_too_much(scene: Scene) -> None:
    scene.warehouses.jobs[0].lines = [PlannedLine(line=0, sku="A", quantity=11)]


def carry_out_too_much(scene: Scene) -> None:
    scene.tills.receipts[1].packages[0].lines = [PlannedLine(line=0, sku="A", quantity=6)]


def lose_a_unit_from_the_shelf(scene: Scene) -> None:
    scene.warehouses.shelves["dc-1"].left["A"] -= 1


def lose_a_unit_in_the_books(scene: Scene) -> None:
    scene.accounts["dc-1", "A"][0] -= 1


def book_what_never_came(scene: Scene) -> None:
    scene.accounts["dc-1", "A"][0] += 1
    scene.accounts["dc-1", "A"][3] += 1


def know_nothing_of_a_cell(scene: Scene) -> None:
    del scene.accounts["dc-1", "A"]


def share_what_central_does_not_know(scene: Scene) -> None:
    scene.cells["dc-1", "A"] += 1


def note_an_exception(scene: Scene) -> None:
    scene.exceptions.append("wrong_state")


def answer_late(scene: Scene) -> None:
    scene.tills.receipts[0].quote_ms = 200.5


def leak_a_contact(scene: Scene) -> None:
    scene.ledger.append(event("note", text="Recipient of invoice 1"))


def refuse(scene: Scene) -> None:
    scene.tills.refusals.append(Refusal(device="d", cause="c", code="internal", detail="x"))


@pytest.mark.parametrize(
    "harm, failure",
    [
        (lose_an_order, "orders were lost"),
        (double_an_order, "orders are in the ledger twice"),
        (answer_differently, "a payment sent twice got two answers"),
        (accept_nothing, "payments without an order"),
        (lose_a_task, "tasks were lost"),
        (ship_twice, "tasks were shipped twice"),
        (misplace_a_task, "tasks are not where the warehouses have them"),
        (overdraw_a_cell, "cells were oversold"),
        (ask_for_too_much, "cells were oversold"),
        (carry_out_too_much, "cells were oversold"),
        (lose_a_unit_from_the_shelf, "units appeared or vanished"),
        (lose_a_unit_in_the_books, "units appeared or vanished"),
        (book_what_never_came, "units appeared or vanished"),
        (know_nothing_of_a_cell, "units appeared or vanished"),
        (share_what_central_does_not_know, "units appeared or vanished"),
        (note_an_exception, "central noted exceptions, or events that it could not read"),
        (answer_late, "a route answer took over 200 ms"),
        (leak_a_contact, "contact details stand in the ledger"),
    ],
)
def test_what_breaks_a_promise_is_found(scene: Scene, harm: Callable[[Scene], None], failure: str):
    harm(scene)
    report = scene.count()
    assert failure in report["failures"]
    console = Console(width=200, file=StringIO())
    with console.capture() as shown:
        console.print(table(report))
    assert failure in shown.get()


def test_refusals_are_counted_by_code(scene: Scene):
    refuse(scene)
    assert scene.count()["refusals"] == {"internal": 1}


def test_percentiles_are_nearest_ranks():
    assert spread([]) == {"p50": 0.0, "p99": 0.0, "max": 0.0}
    assert spread(range(1, 101)) == {"p50": 50, "p99": 99, "max": 100}
    assert spread([3.0, 1.0, 2.0]) == {"p50": 2.0, "p99": 3.0, "max": 3.0}


def test_a_task_that_was_withdrawn_before_it_came_is_not_lost(scene: Scene):
    lose_a_task(scene)
    scene.states["order-9.1.0"] = "withdrawn"
    report = scene.count()
    assert report["failures"] == []
    assert (report["tasks"]["issued"], report["tasks"]["lost"]) == (2, 0)


def test_who_asks_a_dead_edge_waits_and_is_counted_apart(scene: Scene):
    slow = scene.tills.receipts[0]
    slow.quote_ms, slow.paid_at_ms = 2_000.0, 2_020
    scene.outages = [Outage("edge killed", "edge-1", 12, 1_500)]
    report = scene.count()
    assert report["failures"] == []
    # Of the questions only the other one counts, which was answered before.
    assert report["quote_ms"]["max"] == 1.0
    (outage,) = report["outages"]
    assert (outage["orders_sent"], outage["orders_answered"]) == (2, 2)
    assert (outage["real_s"], outage["wait_ms_max"]) == (1.49, 2_000.0)


def test_another_edges_outage_excuses_nobody(scene: Scene):
    answer_late(scene)
    scene.outages = [Outage("broker wiped", "edge-2", 0, 1_000)]
    report = scene.count()
    assert "a route answer took over 200 ms" in report["failures"]
    assert report["outages"][0]["orders_sent"] == 0


def test_how_far_everything_is_can_be_read_beside_the_daemons(scene: Scene):
    scene.shares.pop(("edge-1", "store-1", "A"))
    scene.count()
    central, edges = scene.folder / "central.db", {"edge-1": scene.folder / "edge.db"}
    standing = read_standing(central, edges)
    assert (standing.logged, standing.taken) == ({"edge-1": 5}, {"edge-1": 5})
    assert (standing.issued, standing.apart, standing.settled()) == (0, 1, False)


def test_a_damaged_file_is_found(scene: Scene):
    scene.count()
    path = scene.folder / "central.db"
    assert integrity(path) == "ok"
    path.write_bytes(path.read_bytes()[:-4096])
    with pytest.raises(sqlite3.DatabaseError):
        assert integrity(path) == "ok"
