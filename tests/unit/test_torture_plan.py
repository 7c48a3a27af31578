import asyncio
from collections import Counter
from datetime import UTC, datetime

import msgspec
import pytest

from deploy.torture import town
from deploy.torture.pace import Pace
from deploy.torture.plan import EDGES, Fault, Figures, as_json, broker_lane, daemon_lane, plan
from shared.network import parse_network

FIGURES = Figures(
    payments=1_000, edge_kills=100, broker_kills=12, wipes=6, central_kills=4, stops=10,
    line_faults=10,
)  # fmt: skip
START = datetime(2025, 1, 13, tzinfo=UTC)


def fault(after: int, kind: str = "edge_kill") -> Fault:
    return Fault(after, kind, daemon_lane(EDGES[0]), 0.0)  # type: ignore[arg-type]


def test_a_seed_is_a_script():
    assert plan(7, FIGURES) == plan(7, FIGURES)
    assert plan(7, FIGURES) != plan(8, FIGURES)


def test_the_script_has_what_was_asked_for():
    faults = plan(7, FIGURES)
    assert Counter(x.kind for x in faults) == {
        "edge_kill": 100, "broker_kill": 12, "broker_wipe": 6, "central_kill": 4, "stop": 10,
        "reset": 3, "delay": 3, "halve": 2, "cut": 2,
    }  # fmt: skip
    assert [x.after for x in faults] == sorted(x.after for x in faults)
    assert all(0 < x.after < FIGURES.payments for x in faults)


def test_everybody_has_a_turn():
    faults = plan(7, FIGURES)
    wiped = Counter(x.lane for x in faults if x.kind == "broker_wipe")
    assert wiped == {broker_lane(name): 2 for name in ("central", *EDGES)}
    killed = Counter(x.lane for x in faults if x.kind == "edge_kill")
    assert killed == {daemon_lane(name): 50 for name in EDGES}


def test_some_kills_hit_a_daemon_that_is_starting_up():
    kills = [x for x in plan(7, FIGURES) if x.kind == "edge_kill"]
    assert 0 < sum(x.early for x in kills) < len(kills) / 2


def test_the_script_is_json():
    assert msgspec.json.decode(msgspec.json.encode(as_json([fault(3)])))[0]["after"] == 3


async def test_payments_do_not_run_away_from_the_faults():
    first = fault(5)
    pace = Pace([first], 100)
    begun = 0
    paying = asyncio.create_task(pay(pace))
    await pace.until(5)
    begun = await at_rest(pace)
    assert begun < 50
    pace.happens(first)
    assert await paying == 100


async def test_faults_wait_for_their_payment():
    pace = Pace([fault(2)], 3)
    waiting = asyncio.create_task(pace.until(2))
    assert await pace.next_payment() == 0
    await asyncio.sleep(0)
    assert not waiting.done()
    assert await pace.next_payment() == 1
    assert await waiting is True


async def test_the_end_lets_everybody_go():
    pace = Pace([fault(10), fault(90)], 100)
    paying = asyncio.create_task(pay(pace))
    waiting = asyncio.create_task(pace.until(90))
    begun = await at_rest(pace)
    pace.end()
    assert await waiting is False
    assert await paying == begun < 100


async def pay(pace: Pace) -> int:
    while True:
        if await pace.next_payment() is None:
            return pace.begun
        await asyncio.sleep(0)


async def at_rest(pace: Pace) -> int:
    """Let everybody run until nobody can; how many payments have begun."""
    before = -1
    while before != pace.begun:
        before = pace.begun
        for _ in range(3):
            await asyncio.sleep(0)
    return pace.begun


def test_a_trade_is_drawn_from_its_seed():
    assert town.trade(1, 50, START) == town.trade(1, 50, START)
    assert town.trade(1, 50, START) != town.trade(2, 50, START)


@pytest.mark.parametrize("payments", [50, 500])
def test_there_are_goods_for_most_of_what_is_bought_but_not_for_all(payments: int):
    trade = town.trade(1, payments, START)
    bought = sum(line.quantity for sale in trade.script.sales for line in sale.payment.lines)
    there = sum(line.quantity for x in trade.goods for line in x.event.lines)
    assert bought * 0.8 < there < bought * 1.1
    assert trade.goods[0].after == 0
    assert trade.goods[-1].after < payments


def test_nobody_cancels_more_than_he_bought():
    trade = town.trade(1, 500, START)
    assert 10 < len(trade.changes) < 60
    for number, lines in trade.changes.items():
        bought = trade.script.sales[number].payment.lines
        for line in lines:
            assert (bought[line.line].sku, True) == (
                line.sku,
                line.quantity <= bought[line.line].quantity,
            )


def test_the_network_is_one():
    network = town.network()
    assert parse_network(msgspec.json.encode(network)) == network
    assert {node.edge_id for node in network.nodes} == set(EDGES)
