"""The ledger has an event before what it is about: a restored edge still becomes what it was."""

from pathlib import Path

import pytest

from edge.commands import FromDevice, FromPeer
from shared.envelope import Event, decode_data
from shared.events import PickRequested, PickShort
from shared.frames import Rejoin
from shared.parts import PlannedLine
from tests.edge_pair import Pair, past_of, rebuilt
from tests.shop import NORTH, Shop, device_event, kinds, lines, network, payment, task_of


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    """An order of three units of sku-1, to be picked at dc-north."""
    pair = Pair(tmp_path)
    pair.one.grant("dc-north", sku_1=3)
    paid = payment(lines=lines("sku-1", quantity=3), destination=NORTH)
    pair.one.tell("till-1", paid, "p1")
    pair.carry()
    return pair


def afar(pair: Pair) -> tuple[Event, Event]:
    """Edge-2's task at dc-south came by the fast way; one of its two units was missing.

    The ledger has the report before the task.
    """
    pair.two.grant("dc-south", sku_2=2)
    pair.two.tell("till-2", payment(lines=lines("sku-2", quantity=2)), "p2")
    edge_id, request = pair.two.peers[-1]
    assert edge_id == "edge-1"
    asked = decode_data(request)
    assert isinstance(asked, PickRequested)
    pair.one.do(FromPeer(request, asked))
    missing = [PlannedLine(line=0, sku="sku-2", quantity=1)]
    pair.one.report(PickShort, asked.task_id, missing=missing)
    return request, pair.one.log()[-1]


@pytest.mark.parametrize("sizes", [[], [1, 1, 1]])
def test_a_report_that_the_ledger_has_before_its_task_counts(
    pair: Pair, tmp_path: Path, sizes: list[int]
) -> None:
    request, report = afar(pair)
    again = rebuilt(tmp_path / "new.db", [report, request], sizes)
    task = task_of(pair.one)
    assert task.lines[0].quantity == 2
    assert again.store.task(task.task_id) == pair.one.store.task(task.task_id)


@pytest.mark.parametrize("fast", [True, False])
def test_a_task_that_the_ledger_gets_after_the_past_was_told_is_not_picked_again(
    pair: Pair, tmp_path: Path, fast: bool
) -> None:
    request, report = afar(pair)
    again = rebuilt(tmp_path / "new.db", [report], [])
    asked = decode_data(request)
    assert isinstance(asked, PickRequested)
    again.do(FromPeer(request, asked)) if fast else again.feed((request, asked))
    assert again.store.task(asked.task_id) == pair.one.store.task(asked.task_id)
    assert ("dc-south", "pick.requested") not in [(device, kind) for device, kind, _ in again.said]


def test_a_task_that_came_while_the_past_was_told_keeps_what_is_told_of_it(
    pair: Pair, tmp_path: Path
) -> None:
    request, report = afar(pair)
    again = Shop(tmp_path / "new.db")
    again.feed(Rejoin(epoch=2, restored=True))
    again.feed(network())
    asked = decode_data(request)
    assert isinstance(asked, PickRequested)
    again.feed((request, asked))
    again.feed([(event, decode_data(event)) for event in (report, request)])
    again.feed([])
    assert again.store.task(asked.task_id) == pair.one.store.task(asked.task_id)


def test_a_short_pick_that_the_ledger_has_before_the_order_is_followed(
    pair: Pair, tmp_path: Path
) -> None:
    """The order's own edge was lost, and its log came late."""
    pair.two.report(PickShort, pair.warehouse().task_id, missing=pair.warehouse().lines)
    pair.upload(pair.two)
    past = past_of(pair)
    again = rebuilt(tmp_path / "new.db", [past[-1], *past[:-1]], [1, 1])
    assert kinds(again) == ["epoch.began", "order.parked"]


@pytest.mark.parametrize("sizes", [[], [1, 1, 1, 1]])
def test_an_order_that_another_edge_has_accepted_before_is_let_go_of(
    tmp_path: Path, sizes: list[int]
) -> None:
    """The edge was lost before the ledger had its acceptance, and its own log came late."""
    pair = Pair(tmp_path)
    paid = payment("sku-1")
    first = device_event("till-1", "p1", paid)
    for shop in (pair.two, pair.one):
        shop.do(FromDevice("till-1", first, paid))
        pair.upload(shop)
    again = rebuilt(tmp_path / "new.db", past_of(pair), sizes)
    assert kinds(again) == ["epoch.began", "order.cancelled"]
    assert again.last("order.cancelled").reason == "accepted before by /edges/edge-2"
    assert list(again.store.parked_orders()) == []
    ledger = [*past_of(pair), *again.log()[1:]]
    assert kinds(rebuilt(tmp_path / "newer.db", ledger, sizes)) == ["epoch.began"]
