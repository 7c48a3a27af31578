import hashlib
import os
import subprocess
import sys
from collections import Counter

import msgspec
import pytest

from deploy.demo import day, goods, script, world
from deploy.demo.places import choose, cities, city, distance_km, draw
from deploy.demo.visitor import payment
from shared.clock import to_ms
from shared.envelope import decode_data, decode_event, encode_event, make_event
from shared.events import Data, OrderCancelled, StockMoved, StockReceived
from shared.network import parse_network

DIGEST = """
import hashlib, msgspec
from deploy.demo import day, goods, script, world
written = script.write(day.load())
parts = [world.network(day.load()), written, goods.opening(written), goods.arrivals(written)]
print(hashlib.sha256(msgspec.json.encode(parts)).hexdigest())
"""


@pytest.fixture(scope="module")
def written() -> script.Script:
    return script.write(day.load())


def valid(data: Data) -> None:
    at = script.write(day.load()).sales[0].at
    event = make_event(data, id="x", source="/devices/x", time=at)
    assert decode_data(decode_event(encode_event(event))) == data


def test_the_same_world_on_every_run():
    digests = {
        subprocess.run(
            [sys.executable, "-c", DIGEST],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1


def test_a_lot_depends_on_its_key_alone():
    expected = int.from_bytes(hashlib.sha256(b"city\x0017850").digest()[:6], "big") / (1 << 48)
    assert draw("city", "17850") == expected
    assert choose(["a", "b"], [1, 0], "any") == "a"
    drawn = Counter(choose(["a", "b"], [3, 1], "key", str(i)) for i in range(2_000))
    assert 1_400 < drawn["a"] < 1_600


def test_distances_are_great_circles():
    beijing, shanghai = city("Beijing"), city("Shanghai")
    km = distance_km(beijing.lat, beijing.lon, shanghai.lat, shanghai.lon)
    assert 1_050 < km < 1_080


def test_cities_cover_every_region_of_the_mainland():
    assert len({place.region for place in cities()}) == 31
    assert len(cities()) >= 300
    assert all(18 < place.lat < 54 and 73 < place.lon < 136 for place in cities())


def test_the_network_is_a_valid_document():
    network = world.network(day.load())
    assert parse_network(msgspec.json.encode(network)) == network
    kinds = Counter(node.kind for node in network.nodes)
    assert kinds["dc"] >= 6
    assert kinds["store"] >= 24
    assert {node.edge_id for node in network.nodes} == set(world.EDGES)


def test_stores_serve_their_own_region_only():
    for node in world.nodes():
        if node.kind == "store":
            assert node.serves == [node.region]


def test_every_region_has_a_lane_and_express_is_fastest():
    hours: dict[tuple[str, str], dict[str, int]] = {}
    for lane in world.network(day.load()).lanes:
        hours.setdefault((lane.node_id, lane.region), {})[lane.service_id] = lane.transit_h
    assert {region for _, region in hours} == {place.region for place in cities()}
    for services in hours.values():
        assert services["express"] < services["standard"] < services.get("economy", 10_000)


def test_every_event_of_the_day_keeps_its_schema(written: script.Script):
    for sale in written.sales:
        valid(sale.question)
        valid(sale.payment)
    for cancellation in written.cancellations:
        valid(OrderCancelled(order_id="x", lines=cancellation.lines))
    for node_id, shelf in goods.opening(written).items():
        for event in goods.received(node_id, shelf):
            valid(event)
    for arrival in goods.arrivals(written):
        valid(arrival.event)
    for question in goods.probes(written):
        valid(question)
    decode_data(payment(written, to_ms(written.sales[0].at)))


def test_amounts_and_minutes_are_the_day_s_own(written: script.Script):
    real = {sale.invoice: sale for sale in day.load().sales}
    assert len(written.sales) == len(real)
    for sale in written.sales:
        found = real[sale.invoice]
        assert sale.at.replace(second=0, microsecond=0, tzinfo=None) == found.time
        goods_minor = sum(x.quantity * x.unit_price_minor for x in sale.payment.lines)
        assert sale.payment.amount.minor == goods_minor + found.services_minor


def test_a_cancellation_comes_after_its_sale(written: script.Script):
    at = {sale.invoice: sale.at for sale in written.sales}
    assert len(written.cancellations) == 4
    assert all(at[x.sale] < x.at for x in written.cancellations)


def test_the_day_has_every_way_of_fulfilment_and_tills_that_repeat(written: script.Script):
    kinds = Counter(sale.payment.fulfilment.kind for sale in written.sales)
    assert kinds["delivery"] > 80
    assert kinds["carry_out"] > 0
    assert kinds["pick_up"] > 0
    assert {sale.again for sale in written.sales} == {"no", "at_once", "later"}


def test_a_shorter_day_begins_the_same(written: script.Script):
    short = written.first(10)
    assert short.sales == written.sales[:10]
    assert all(x.sale in {sale.invoice for sale in short.sales} for x in short.cancellations)
    assert all(x.at <= short.sales[-1].at for x in short.returns)


def test_some_goods_are_scarce_until_more_arrives(written: script.Script):
    opening = goods.opening(written)
    wanted = goods.demand(written)
    scarce = [sku for sku in wanted if goods.is_scarce(sku)]
    assert 5 < len(scarce) < 60
    for sku in scarce:
        there = sum(shelf.get(sku, 0) for node, shelf in opening.items() if node.startswith("dc"))
        assert there <= max(1, sum(wanted[sku].values()))
    later = [x.event for x in goods.arrivals(written)]
    assert {line.sku for x in later if isinstance(x, StockReceived) for line in x.lines} >= set(
        scarce
    )


def test_what_is_moved_was_there_and_arrives(written: script.Script):
    opening = goods.opening(written)
    events = [arrival.event for arrival in goods.arrivals(written)]
    (moved,) = [event for event in events if isinstance(event, StockMoved)]
    for line in moved.lines:
        assert line.quantity <= opening[moved.node_id][line.sku]
    assert any(
        isinstance(event, StockReceived)
        and event.node_id == moved.to_node_id
        and event.lines == moved.lines
        for event in events
    )
