"""What picks teach: a node that was short of a SKU is asked for it less, and is forgiven."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from edge.failures import HALF_LIFE_MS, Failure, Failures
from shared.events import PackagePacked, PickCompleted, PickShort
from shared.parts import Fulfilment, Limits, PlannedLine
from shared.sourcing import Profile
from tests.edge_pair import Pair
from tests.shop import NOON_MS, Shop, accepted, network, payment, task_of

# The store is cheaper by less than what a failed pick costs times its chance.
PROFILE = Profile(version="p1", packages_max=4, reroute_minor=2_000)


def shop_with_both(path: Path) -> Shop:
    shop = Shop(path)
    shop.feed(network(profile=PROFILE))
    shop.grant("store-1", sku_1=10, sku_2=10)
    shop.grant("dc-south", sku_1=10, sku_2=10)
    return shop


def chosen(shop: Shop, sku: str, event_id: str) -> str:
    shop.tell("till-1", payment(sku), event_id)
    return accepted(shop).plan.packages[0].node_id


def fail_once(shop: Shop) -> None:
    missing = [PlannedLine(line=0, sku="sku-1", quantity=1)]
    shop.report(PickShort, task_of(shop).task_id, missing=missing)


def test_a_node_that_was_short_is_asked_less_for_that_sku(tmp_path: Path) -> None:
    shop = shop_with_both(tmp_path / "edge.db")
    assert chosen(shop, "sku-1", "p1") == "store-1"
    fail_once(shop)
    assert chosen(shop, "sku-1", "p2") == "dc-south"
    assert chosen(shop, "sku-2", "p3") == "store-1"


def test_what_was_learned_is_in_the_cost_and_survives_a_restart(tmp_path: Path) -> None:
    shop = shop_with_both(tmp_path / "edge.db")
    chosen(shop, "sku-1", "p1")
    before = accepted(shop).plan
    fail_once(shop)
    shop.restart()
    chosen(shop, "sku-1", "p2")
    after = accepted(shop).plan
    assert after.packages[0].node_id == "dc-south"
    assert sum(x.cost_minor for x in after.packages) == after.cost.minor
    assert after.snapshot != before.snapshot


def test_a_failure_is_forgotten_with_time(tmp_path: Path) -> None:
    shop = shop_with_both(tmp_path / "edge.db")
    chosen(shop, "sku-1", "p1")
    fail_once(shop)
    shop.now_ms += 12 * HALF_LIFE_MS
    assert chosen(shop, "sku-1", "p2") == "store-1"


def test_good_picks_make_a_failure_count_for_less_and_are_kept(tmp_path: Path) -> None:
    shop = shop_with_both(tmp_path / "edge.db")
    chosen(shop, "sku-1", "p1")
    fail_once(shop)
    chances = [list(shop.engine.state.failures.chances("sku-1", shop.now_ms))]
    store_only = Fulfilment(kind="delivery", limits=Limits(required_nodes=["store-1"]))
    for number in range(2, 5):
        shop.tell("till-1", payment("sku-1", "sku-2", fulfilment=store_only), f"p{number}")
        shop.report(PickCompleted, task_of(shop).task_id)
        shop.report(PackagePacked, task_of(shop).task_id)  # Counts no second time.
    shop.restart()
    chances.append(list(shop.engine.state.failures.chances("sku-1", shop.now_ms)))
    assert chances == [[("store-1", 1_000 * 1 // (1 + 4))], [("store-1", 1_000 * 1 // (1 + 3 + 4))]]
    assert list(shop.engine.state.failures.of("sku-2")) == []


def test_a_node_s_own_edge_learns_from_picks_for_other_edges_orders(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    pair.one.grant("dc-north", sku_1=5, sku_2=5)
    pair.one.tell("till-1", payment("sku-1", "sku-2"), "p1")
    pair.carry()
    missing = [PlannedLine(line=0, sku="sku-1", quantity=1)]
    pair.two.report(PickShort, pair.warehouse().task_id, missing=missing)
    pair.two.report(PickCompleted, pair.warehouse().task_id)
    pair.carry()
    for shop in (pair.one, pair.two):
        failures = shop.engine.state.failures
        assert list(failures.chances("sku-1", NOON_MS)) == [("dc-north", 200)], shop.edge_id
        assert list(failures.of("sku-2")) == []


def test_what_never_failed_has_no_chance_to_lower() -> None:
    failures = Failures([Failure("store-1", "sku-1", 1_000, NOON_MS)])
    picked = list(failures.picked("store-1", ["sku-2", "sku-1", "sku-1"], NOON_MS))
    assert picked == [Failure("store-1", "sku-1", 1_000, NOON_MS, 1_000)]
    assert list(failures.picked("dc-south", ["sku-1"], NOON_MS)) == []


@given(st.lists(st.integers(-20 * HALF_LIFE_MS, 600 * HALF_LIFE_MS), max_size=30))
def test_no_clock_makes_a_chance_that_is_none(jumps: list[int]) -> None:
    failures, now_ms = Failures(), NOON_MS
    for jump in jumps:
        now_ms = max(0, now_ms + jump)
        failures.put(failures.after("store-1", "sku-1", now_ms))
        ((node_id, chance),) = failures.chances("sku-1", now_ms)
        assert node_id == "store-1"
        assert 0 < chance < 1_000


def test_failures_of_other_skus_are_apart() -> None:
    failures = Failures([Failure("store-1", "sku-1", 1_000, NOON_MS)])
    assert list(failures.chances("sku-2", NOON_MS)) == []
    assert list(failures.chances("sku-1", NOON_MS)) == [("store-1", 200)]
