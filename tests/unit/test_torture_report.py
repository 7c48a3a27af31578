import asyncio
import json
from collections import Counter
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from deploy.demo.ledgers import Account, Central, Edge
from deploy.demo.records import Job, Receipt, Refusal, Shelves, TillRecord, WarehouseRecord
from deploy.torture.journal import Journal, Line, read
from deploy.torture.plan import Figures
from deploy.torture.report import Circumstances, count, table
from shared.parts import PlannedLine

CELL = ("dc-1", "A")


class Scene:
    """One payment of two units that were shipped; five were loaded."""

    def __init__(self) -> None:
        self.journal = [Line("/devices/till-1", "p-1", "order-1")]
        self.tills = TillRecord(
            receipts=[
                Receipt(
                    invoice="1",
                    edge_id="edge-1",
                    device="till-1",
                    source="/devices/till-1",
                    event_id="p-1",
                    fulfilment="delivery",
                    order_id="order-1",
                    sends=3,
                    accept_ms=2_500.0,
                )
            ]
        )
        lines = [PlannedLine(line=0, sku="A", quantity=2)]
        job = Job(
            task_id="order-1.1.0",
            node_id="dc-1",
            lines=lines,
            shipped=lines,
            ready_ms=1,
            arrives_ms=2,
            state="package.shipped",
            shipped_ms=1,
        )
        shelves = {"dc-1": Shelves(loaded={"A": 5}, left={"A": 3})}
        self.warehouses = WarehouseRecord(shelves=shelves, jobs=[job])
        self.central = Central(
            events=4,
            payments=Counter({("/devices/till-1", "p-1"): 1}),
            orders=Counter({"order-1": 1}),
            tasks=Counter({"order-1.1.0": 1}),
            states={"order-1.1.0": "shipped"},
            shipped=Counter({"order-1.1.0": 1}),
            accounts={CELL: Account(pool=1, committed=0, shipped=2, received=5, adjusted=0)},
            shares={"edge-1": {CELL: 2}},
        )
        self.edges = {"edge-1": Edge(events=4, shares={CELL: 2})}
        self.around = Circumstances(
            seed=5,
            figures=Figures(payments=1, stops=1),
            happened=Counter({"stop": 1}),
            verified="4 entries, every chain is whole",
            integrity={"central": "ok", "edge-1": "ok"},
            exit_codes={"central": 0, "edge-1": 0},
        )

    def count(self) -> dict[str, Any]:
        return count(
            self.journal, self.tills, self.warehouses, self.central, self.edges, self.around
        )


def shown(report: dict[str, Any]) -> str:
    console = Console(width=200, file=StringIO())
    with console.capture() as captured:
        console.print(table(report))
    return captured.get()


def test_all_zeros_is_no_failure():
    report = Scene().count()
    assert report["failures"] == []
    assert (report["seed"], report["payments"]["sent"]) == (5, 3)
    assert "seed 5" in shown(report)
    json.dumps(report)


def lose_a_payment(scene: Scene) -> None:
    scene.central.payments.clear()


def lose_an_order(scene: Scene) -> None:
    scene.central.orders.clear()


def double_an_order(scene: Scene) -> None:
    scene.central.orders["order-1"] += 1


def know_a_payment_that_no_till_knows(scene: Scene) -> None:
    scene.central.payments["/devices/till-1", "p-2"] += 1


def leave_a_payment_unanswered(scene: Scene) -> None:
    scene.journal.clear()
    scene.central.payments.clear()


def oversell(scene: Scene) -> None:
    scene.central.accounts[CELL] = Account(1, 4, 2, 5, 0)


def lose_a_share(scene: Scene) -> None:
    scene.edges["edge-1"].shares.clear()


def refuse_a_device(scene: Scene) -> None:
    scene.tills.refusals.append(Refusal(device="d", cause="c", code="internal", detail="x"))


def break_the_chain(scene: Scene) -> None:
    scene.around.verified = ""


def damage_a_database(scene: Scene) -> None:
    scene.around.integrity["edge-1"] = "row 3 missing from index"


def kill_less(scene: Scene) -> None:
    scene.around.happened.clear()


def never_rest(scene: Scene) -> None:
    scene.around.unsettled = "2 jobs open"


def note_an_exception(scene: Scene) -> None:
    scene.central.exceptions["order_twice"] += 1


@pytest.mark.parametrize(
    "harm, failure",
    [
        (lose_a_payment, "payments were lost"),
        (lose_an_order, "payments were lost"),
        (double_an_order, "payments were doubled"),
        (know_a_payment_that_no_till_knows, "the ledger has payments that no till knows"),
        (leave_a_payment_unanswered, "payments without an answer"),
        (oversell, "cells were oversold"),
        (lose_a_share, "units appeared or vanished"),
        (refuse_a_device, "devices were refused: {'internal': 1}"),
        (break_the_chain, "the ledger's chain is broken"),
        (damage_a_database, "row 3 missing"),
        (kill_less, "not everything that was asked for has happened"),
        (never_rest, "it did not come to rest: 2 jobs open"),
        (note_an_exception, "central noted exceptions: {'order_twice': 1}"),
    ],
)
def test_what_breaks_a_promise_is_found(harm: Callable[[Scene], None], failure: str):
    scene = Scene()
    harm(scene)
    report = scene.count()
    assert any(failure in text for text in report["failures"]), report["failures"]
    assert failure in shown(report)


def test_a_report_on_a_withdrawn_task_may_be_refused():
    scene = Scene()
    scene.warehouses.refusals.append(
        Refusal(device="d", cause="c", code="wrong_state", detail="withdrawn")
    )
    assert scene.count()["failures"] == []


async def test_what_a_till_was_answered_is_on_its_disk(tmp_path: Path):
    journal = Journal(tmp_path / "tills.jsonl")
    keeping = asyncio.create_task(journal.keep())
    for receipt in Scene().tills.receipts:
        journal.note(receipt)
    await journal.kept()
    assert read(tmp_path / "tills.jsonl") == Scene().journal
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
