"""`pointsman plan`: the same decision as the daemon's, from files to files."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from typer.testing import CliRunner

from deploy.cli import app
from deploy.planning import schemas
from deploy.planning.formats import ComparedOrder, Comparison, PlannedOrder, Summary
from deploy.planning.run import Task, compare, plan
from shared.clock import to_datetime, to_ms
from shared.errors import (
    InvalidDataError,
    NotJsonError,
    PointsmanError,
    UnknownNodeError,
    UnknownSkuError,
)
from shared.events import OrderAccepted, Payment, RouteRequested
from shared.examples import example

CONFIG = Path(__file__).parents[2] / "deploy" / "config"
SAMPLES = {"network": CONFIG / "network.json", "orders": CONFIG / "orders.jsonl"}
NINE = to_datetime(1_767_603_600_000)


def order(id: str = "o-1", **changes: Any) -> dict[str, Any]:
    """A question for two apples."""
    return {
        "id": id,
        "at": "2026-01-05T09:00:00Z",
        "store_id": "store-1",
        "fulfilment": {"kind": "delivery"},
        "lines": [{"sku": "apple", "quantity": 2}],
        "destination": {"lat": 23.13, "lon": 113.26, "region": "CN-GD"},
    } | changes


class Folder:
    """Files of one test."""

    def __init__(self, folder: Path) -> None:
        self.path = folder
        self.out = folder / "out.jsonl"

    def write(self, name: str, *lines: object) -> Path:
        path = self.path / name
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        return path

    def task(self, *orders: object, stock: object = None, consume: bool = False) -> Task:
        return Task(
            network=SAMPLES["network"],
            orders=self.write("orders.jsonl", *orders),
            out=self.out,
            stock=None if stock is None else self.write("stock.json", stock),
            prices=None,
            consume=consume,
            at=None,
        )

    def plans(self) -> list[PlannedOrder]:
        lines = self.out.read_bytes().splitlines()
        return [msgspec.json.decode(line, type=PlannedOrder) for line in lines]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def cells(**units: int) -> dict[str, Any]:
    """Apples by node; an underscore is a hyphen."""
    return {
        "cells": [
            {"node_id": node.replace("_", "-"), "sku": "apple", "quantity": count}
            for node, count in units.items()
        ]
    }


def test_every_order_gets_a_line_in_the_same_sequence(folder: Folder) -> None:
    summary, _ = plan(folder.task(order("b"), order("a")), None)
    assert [planned.id for planned in folder.plans()] == ["b", "a"]
    assert (summary.orders, summary.planned, summary.packages) == (2, 2, 2)
    assert summary.cost_minor == summary.freight_minor == 2 * 1_000


def test_without_consume_every_order_finds_the_whole_stock(folder: Folder) -> None:
    task = folder.task(order("a"), order("b"), stock=cells(store_1=2))
    assert plan(task, None)[0].parked_orders == 0


def test_with_consume_a_plan_takes_its_units_from_the_orders_after_it(folder: Folder) -> None:
    task = folder.task(
        order("a"), order("b"), order("c"), stock=cells(store_1=3, dc_1=2), consume=True
    )
    summary, _ = plan(task, None)
    first, second, third = folder.plans()
    assert first.plan is not None
    assert second.plan is not None
    assert first.plan.packages[0].node_id == "store-1"
    assert second.plan.packages[0].node_id == "dc-1"
    assert third.plan is None
    assert [shortage.reason for shortage in third.parked] == ["share"]
    assert summary.parked_orders == summary.parked_lines == 1
    assert [(load.node_id, load.units) for load in summary.nodes] == [("dc-1", 2), ("store-1", 2)]


def test_with_consume_a_plan_takes_a_slot_too(folder: Folder) -> None:
    slots = [
        {"starts_at": f"2026-01-05T{hour:02}:00:00Z", "ends_at": f"2026-01-05T{hour + 1:02}:00:00Z",
         "packages": 1}
        for hour in (9, 10)
    ]  # fmt: skip
    stock = cells(store_1=9) | {"slots": [{"node_id": "store-1", "slots": slots}]}
    plan(folder.task(order("a"), order("b"), order("c"), stock=stock, consume=True), None)
    taken = [x.plan.packages[0].slot if x.plan else None for x in folder.plans()]
    assert taken == ["slot.20260105T090000Z", "slot.20260105T100000Z", None]


def test_what_waits_for_stock_on_its_way_takes_it_from_the_orders_after_it(folder: Folder) -> None:
    coming = {
        "node_id": "store-1", "lot_id": "l-1", "expected_at": "2026-01-05T10:00:00Z",
        "lines": [{"sku": "apple", "quantity": 3}],
    }  # fmt: skip
    patient = {"version": "patient", "packages_max": 4, "incoming_minor_per_h": 0}
    task = folder.task(
        order("a"), order("b"), stock=cells(dc_1=9) | {"expected": [coming]}, consume=True
    )
    plan(task, folder.write("patient.json", patient))
    first, second = folder.plans()
    assert [(x.reason, x.nodes[0]) for x in first.parked] == [("incoming", "store-1")]
    assert first.parked[0].expected_at == to_datetime(to_ms(NINE) + 3_600_000)
    assert second.plan is not None
    assert second.plan.packages[0].node_id == "dc-1"


def test_a_node_whose_picks_have_failed_is_asked_less(folder: Folder) -> None:
    failed = {"node_id": "store-1", "sku": "apple", "failed": 9, "at": "2026-01-05T08:00:00Z"}
    chosen = []
    for taught in ([], [failed], [failed | {"good": 900}]):
        stock = cells(store_1=3, dc_1=3) | {"failed_picks": taught}
        plan(folder.task(order("a"), stock=stock), None)
        ((planned,),) = ([x.plan for x in folder.plans()],)
        assert planned is not None
        chosen.append(planned.packages[0].node_id)
    assert chosen == ["store-1", "dc-1", "store-1"]


def test_the_same_inputs_give_the_same_bytes(folder: Folder) -> None:
    task = folder.task(order("a"), order("b"), stock=cells(store_1=3, dc_1=2), consume=True)
    plan(task, None)
    first = folder.out.read_bytes()
    plan(task, None)
    assert folder.out.read_bytes() == first


def test_a_payment_an_event_and_an_accepted_order_are_orders_too(folder: Folder) -> None:
    network = json.loads(SAMPLES["network"].read_text())
    names = {"dc-1": "dc-guangzhou", "store-1": "store-guangzhou-1"}
    text = json.dumps(network)
    for name, other in names.items():
        text = text.replace(f'"{name}"', f'"{other}"')
    text = text.replace('"apple"', '"22423"').replace('"pear"', '"85123A"')
    events = [
        json.loads(msgspec.json.encode(example(kind)))
        for kind in (Payment, OrderAccepted, RouteRequested)
    ]
    paid = events[0]["data"]
    orders_path = folder.task(*events, paid).orders
    network_path = folder.path / "network.json"
    network_path.write_text(text)
    summary, orders = plan(
        Task(network_path, orders_path, folder.out, None, None, False, None), None
    )
    # The payment and the order that was accepted for it are one.
    assert (summary.orders, orders.twice) == (3, 1)
    assert folder.plans()[0].id == example(OrderAccepted).subject


def test_other_events_of_a_ledger_are_left_out_and_counted(folder: Folder) -> None:
    stock = json.loads((CONFIG / "stock.json").read_text())
    summary, orders = plan(folder.task(stock, order()), None)
    assert (summary.orders, orders.other) == (1, 1)


def test_packed_orders_are_read_as_well(folder: Folder) -> None:
    task = folder.task(order())
    packed = folder.path / "orders.jsonl.gz"
    packed.write_bytes(gzip.compress(task.orders.read_bytes()))
    summary, _ = plan(Task(task.network, packed, None, None, None, False, None), None)
    assert summary.orders == 1


def test_a_profile_that_punishes_lateness_promises_sooner_and_costs_more(folder: Folder) -> None:
    network = json.loads(SAMPLES["network"].read_text())
    network["services"].append({"service_id": "express", "name": "", "weight_g_max": 30_000})
    network["tariffs"].append(
        {"tariff_id": "fast", "steps": [{"weight_g_max": 30_000, "price_minor": 5_000}]}
    )
    network["lanes"].append(
        {"node_id": "dc-1", "service_id": "express", "region": "CN-GD", "transit_h": 2,
         "tariff_id": "fast"}
    )  # fmt: skip
    cheap = {"version": "cheap", "packages_max": 4}
    prompt = {
        "version": "prompt",
        "packages_max": 4,
        "late_minor_per_h": 1_000,
        "late_minor": 3_000,
    }
    wanted = {"kind": "delivery", "deadline": "2026-01-05T18:00:00Z"}
    task = folder.task(order("late", fulfilment=wanted), order("free"))
    task = Task(
        folder.write("network.json", network), task.orders, task.out, None, None, False, None
    )
    result, _ = compare(task, folder.write("a.json", cheap), folder.write("b.json", prompt))
    late, free = (
        msgspec.json.decode(line, type=ComparedOrder)
        for line in folder.out.read_bytes().splitlines()
    )
    assert (late.a.nodes, late.b.nodes) == (["store-1"], ["dc-1"])
    assert late.cost_change_minor == 300 + 5_000 - (200 + 800)
    assert late.promise_change_s is not None
    assert late.promise_change_s < 0
    assert free.a == free.b
    assert result.changed == 1
    assert (result.a.late, result.b.late) == (1, 0)
    assert result.b.freight_minor - result.a.freight_minor == late.cost_change_minor


@pytest.mark.parametrize(
    "line, kind, place",
    [
        (order("x", lines=[{"sku": "pera", "quantity": 1}]), UnknownSkuError, "$.lines[0].sku"),
        (order("x", store_id="store-9"), UnknownNodeError, "$.store_id"),
        (order("x", lines=[]), InvalidDataError, "$.lines"),
        (order("x", colour="red"), InvalidDataError, "$"),
        (order("first"), InvalidDataError, "$.id"),
        ({k: v for k, v in order("x").items() if k != "at"}, InvalidDataError, "$.at"),
        ("apples", InvalidDataError, "$"),
    ],
)
def test_a_bad_line_is_named_with_its_number_and_nothing_is_left_behind(
    folder: Folder, line: object, kind: type[PointsmanError], place: str
) -> None:
    task = folder.task(order("first"), line)
    with pytest.raises(kind) as caught:
        plan(task, None)
    assert caught.value.place == f"{task.orders}, line 2: {place}"
    assert caught.value.expected
    assert not folder.out.exists()
    assert {path.suffix for path in folder.path.iterdir()} == {".jsonl"}


def test_a_line_that_is_no_json_is_named(folder: Folder) -> None:
    task = folder.task(order())
    task.orders.write_bytes(task.orders.read_bytes() + b"\n\xff\n")
    with pytest.raises(NotJsonError) as caught:
        plan(task, None)
    assert "line 3" in caught.value.place


@pytest.mark.parametrize(
    "cell, kind",
    [
        ({"node_id": "dc-9", "sku": "apple", "quantity": 1}, UnknownNodeError),
        ({"node_id": "dc-1", "sku": "plum", "quantity": 1}, UnknownSkuError),
        ({"node_id": "dc-1", "sku": "apple", "quantity": 0}, InvalidDataError),
    ],
)
def test_a_bad_cell_of_the_stock_is_named(
    folder: Folder, cell: dict[str, object], kind: type[PointsmanError]
) -> None:
    with pytest.raises(kind) as caught:
        plan(folder.task(order(), stock={"cells": [cell]}), None)
    assert "$.cells[0]" in caught.value.place


def test_the_command_writes_plans_and_totals_and_teaches_what_is_wrong(folder: Folder) -> None:
    runner, totals = CliRunner(), folder.path / "totals.json"
    given = ["plan", "--network", str(SAMPLES["network"]), "--orders", str(SAMPLES["orders"])]
    stock = ["--stock", str(CONFIG / "shelves.json"), "--consume"]
    done = runner.invoke(app, [*given, *stock, "--out", str(folder.out), "--json", str(totals)])
    assert done.exit_code == 0, done.output
    assert "proven the cheapest" in done.output
    assert msgspec.json.decode(totals.read_bytes(), type=Summary).orders == len(folder.plans()) == 3
    profile = str(CONFIG / "profile.json")
    done = runner.invoke(app, [*given, "--compare", profile, profile, "--json", str(totals)])
    assert done.exit_code == 0, done.output
    assert msgspec.json.decode(totals.read_bytes(), type=Comparison).changed == 0
    for wrong in (["--at", "soon"], ["--stock", "nowhere"], ["--profile", str(totals)]):
        done = runner.invoke(app, [*given, *wrong])
        assert done.exit_code == 1
        assert "expected" in done.output


def test_the_committed_schemas_are_the_generated_ones() -> None:
    committed = {path.name: path.read_text("utf-8") for path in schemas.FOLDER.glob("*.json")}
    assert committed == schemas.documents(), "stale: run `make schemas`"


def test_what_goes_in_and_comes_out_is_valid_by_schema(folder: Folder) -> None:
    def check(name: str, document: object) -> None:
        schema = json.loads((schemas.FOLDER / f"{name}.schema.json").read_text("utf-8"))
        jsonschema.Draft202012Validator.check_schema(schema)
        jsonschema.Draft202012Validator(schema).validate(document)

    lines = SAMPLES["orders"].read_text("utf-8").splitlines()
    for line in lines:
        check("order", json.loads(line))
    shelves = json.loads((CONFIG / "shelves.json").read_text("utf-8"))
    check("stock", shelves)
    check("profile", json.loads((CONFIG / "profile.json").read_text("utf-8")))
    task = Task(
        **SAMPLES, out=folder.out, stock=CONFIG / "shelves.json", prices=None, consume=True, at=NINE
    )
    summary, _ = plan(task, None)
    check("summary", json.loads(msgspec.json.encode(summary)))
    for written in folder.out.read_text("utf-8").splitlines():
        check("plan", json.loads(written))
    result, _ = compare(task, CONFIG / "profile.json", CONFIG / "profile.json")
    check("comparison", json.loads(msgspec.json.encode(result)))
    for written in folder.out.read_text("utf-8").splitlines():
        check("difference", json.loads(written))


def test_a_bid_price_keeps_the_last_units_for_who_will_pay_more(folder: Folder) -> None:
    bids = [{"node_id": "store-1", "sku": "apple", "price_minor": 5_000}]
    prices = {"version": 1, "made_at": "2026-01-05T08:00:00Z", "bids": bids}
    task = folder.task(order())
    priced = Task(
        task.network, task.orders, task.out, None, folder.write("prices.json", prices), False, None
    )
    plan(task, None)
    assert [x.plan and x.plan.packages[0].node_id for x in folder.plans()] == ["store-1"]
    plan(priced, None)
    assert [x.plan and x.plan.packages[0].node_id for x in folder.plans()] == ["dc-1"]


def test_a_sourcing_document_chooses_a_profile_for_each_order(folder: Folder) -> None:
    document = {
        "version": "s-1",
        "profiles": [
            {"version": "plain"},
            {"version": "no-stores", "limits": {"forbidden_nodes": ["store-1"]}},
        ],
        "otherwise": "plain",
        "rules": [{"profile": "no-stores", "when": {"tiers": ["vip"]}}],
    }
    task = folder.task(order("a"), order("b", customer={"tier": "vip"}))
    summary, _ = plan(task, folder.write("sourcing.json", document))
    plans = [planned.plan for planned in folder.plans()]
    assert [x and (x.profile, x.packages[0].node_id) for x in plans] == [
        ("plain", "store-1"), ("no-stores", "dc-1"),
    ]  # fmt: skip
    assert summary.profile == "s-1"


def test_alternatives_come_with_the_plan_where_the_order_asks_for_them(folder: Folder) -> None:
    plan(folder.task(order("a", alternatives=True), order("b")), None)
    asked, plain = folder.plans()
    assert asked.alternatives[0].best_at[0] == "cost"
    assert plain.alternatives == []
