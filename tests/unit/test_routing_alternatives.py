"""Other plans for the same question: each the best at its aim, none beaten by another."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.routing.question import Want
from shared.clock import to_ms
from shared.network import Lane
from shared.parts import Plan
from tests.oracle.relaxing_oracle import Instance
from tests.oracle.subset_oracle import partitions
from tests.routing_scene import (
    HOUR_MS,
    NOW_MS,
    SKUS,
    Scene,
    a_lane,
    a_network,
    a_node,
    a_question,
    judged,
    near_and_far,
    plan_of,
    slots,
    want,
    with_lane,
)


class Marks(NamedTuple):
    """How good a plan is at each aim, the less the better."""

    cost: int
    arrival: int
    packages: int
    carbon: int


def marks(plan: Plan) -> Marks:
    assert all(package.edd_at is not None for package in plan.packages)
    return Marks(
        cost=plan.cost.minor,
        arrival=max(to_ms(package.edd_at or package.arrives_at) for package in plan.packages),
        packages=len(plan.packages),
        carbon=sum(package.carbon_g for package in plan.packages),
    )


def every_plan(instance: Instance) -> Iterator[Marks]:
    """All plans that ship everything."""
    hours = {x.transit_id: x.spread_min[0] // 60 for x in instance.of.transits}
    groups = [[x] for x in instance.asked.wants]
    for partition in partitions(list(range(len(groups)))):
        if len(partition) > instance.packages_max(frozenset()):
            continue
        for lanes in product(instance.lanes(), repeat=len(partition)):
            found: list[tuple[int, Lane, int]] = []
            for package, lane in zip(partition, lanes, strict=True):
                inside = [groups[x] for x in package]
                price = instance.price(lane, inside)
                if price is None or any(instance.fences(lane, group) for group in inside):
                    break
                found.append((price, lane, sum(map(instance.weight_g, inside))))
            else:
                split = instance.profile.split_cost_minor * (len(partition) - 1)
                yield Marks(
                    cost=split + sum(price for price, _, _ in found),
                    arrival=NOW_MS
                    + HOUR_MS * max(1 + hours[lane.transit_id] for _, lane, _ in found),
                    packages=len(partition),
                    carbon=sum(
                        lane.carbon_g + lane.carbon_g_per_kg * weight_g // 1_000
                        for _, lane, weight_g in found
                    ),
                )


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_each_alternative_is_the_best_at_its_aim_and_none_is_beaten(data: st.DataObject) -> None:
    names = ["a", "b", "c"]
    draw = data.draw
    lanes = [
        a_lane(
            name,
            service,
            tariff_id=draw(st.sampled_from(["near", "far"])),
            transit_id=draw(st.sampled_from(["h4", "h24", "h48"])),
            carbon_g=draw(st.integers(0, 3)) * 100,
            carbon_g_per_kg=draw(st.integers(0, 3)) * 10,
        )
        for name in names
        for service in ("road", "air")
        if draw(st.integers(0, 4))
    ]
    of = a_network(
        *(a_node(name, handling_minor=draw(st.integers(0, 5)) * 100) for name in names),
        lanes=lanes,
    )
    # Whole kilograms, so that rounding grams decides nothing.
    of = msgspec.structs.replace(
        of, products=[msgspec.structs.replace(x, weight_g=1_000) for x in of.products]
    )
    of = judged(of, split_cost_minor=draw(st.sampled_from([0, 400])), packages_max=3)
    units = {name: {sku: draw(st.integers(0, 3)) for sku in SKUS[:3]} for name in names}
    wants = [Want(line, SKUS[line], draw(st.integers(1, 2))) for line in range(3)]
    scene = Scene(of, units)
    answer = scene.ask(wants, alternatives=True)
    plans = list(every_plan(Instance(of, scene.cells(), a_question(wants), set())))
    if answer.shortages:
        assert not plans
        return
    best = Marks(*(min(column) for column in zip(*plans, strict=True)))
    found = {marks(x.plan): x for x in answer.alternatives}
    assert {name for x in answer.alternatives for name in x.best_at} == set(Marks._fields)
    for own, alternative in found.items():
        assert own in plans
        for aim in alternative.best_at:
            assert getattr(own, aim) == getattr(best, aim)
            # Of those that are as good at it, none is cheaper.
            rivals = [x.cost for x in plans if getattr(x, aim) == getattr(best, aim)]
            if len(alternative.best_at) == 1:
                assert own.cost == min(rivals)
        for other in found:
            assert other == own or any(a > b for a, b in zip(other, own, strict=True))


def test_without_being_asked_there_are_none_and_with_one_option_only_the_plan_itself() -> None:
    assert Scene().ask().alternatives == []
    (only,) = Scene(units={"near": 1}).ask(alternatives=True).alternatives
    assert only.best_at == ["cost", "arrival", "packages", "carbon"]
    assert only.plan == plan_of(Scene(units={"near": 1}).ask())


def test_the_faster_the_cleaner_and_the_single_package_are_shown_beside_the_cheapest() -> None:
    of = with_lane(near_and_far(), "near", carbon_g=900)
    lanes = [*of.lanes, a_lane("far", "air", tariff_id="far", transit_id="h4", carbon_g=5_000)]
    of = msgspec.structs.replace(of, lanes=lanes)
    found = {
        tuple(x.best_at): x.plan.packages[0].service_id + " " + x.plan.packages[0].node_id
        for x in Scene(of).ask(alternatives=True).alternatives
    }
    assert found == {
        ("cost", "packages"): "road near",
        ("packages", "carbon"): "road far",
        ("arrival", "packages"): "air far",
    }


def test_of_the_cleanest_plans_the_cheapest_is_shown() -> None:
    lanes = [a_lane("a", carbon_g=9), a_lane("b", tariff_id="far"), a_lane("c", tariff_id="far")]
    of = a_network(a_node("a"), a_node("b", handling_minor=700), a_node("c"), lanes=lanes)
    cheapest, cleanest = Scene(of).ask(alternatives=True).alternatives
    assert (cheapest.plan.packages[0].node_id, cleanest.plan.packages[0].node_id) == ("a", "c")


def test_no_alternative_puts_two_packages_into_room_for_one() -> None:
    heavy = [msgspec.structs.replace(x, weight_g=900) for x in near_and_far().products]
    of = judged(
        msgspec.structs.replace(
            near_and_far(),
            products=heavy,
            services=[
                msgspec.structs.replace(x, weight_g_max=1_000) for x in near_and_far().services
            ],
        ),
        split_cost_minor=0,
    )
    # The cheapest is far twice; near twice would be the fastest.
    of = with_lane(with_lane(of, "near", transit_id="h4", tariff_id="far"), "far", tariff_id="near")
    answer = Scene(of, slots=slots(1)).ask([want(0), want(1)], alternatives=True)
    assert answer.alternatives
    for alternative in answer.alternatives:
        assert [x.node_id for x in alternative.plan.packages].count("near") <= 1


def test_an_alternative_of_a_plan_that_breaks_a_fence_says_so_too() -> None:
    of = with_lane(near_and_far(), "far", transit_id="h4")
    of = judged(of, limits=msgspec.structs.replace(of.profile.limits, required_nodes=["moon"]))
    answer = Scene(of).ask(offer=True, alternatives=True)
    assert len(answer.alternatives) == 2
    for alternative in answer.alternatives:
        assert alternative.plan.relaxed == alternative.plan.conflict == ["required_nodes"]
