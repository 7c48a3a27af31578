"""What holds for every answer, in every small world."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.incoming import Incoming, Lot
from edge.routing.question import Routed, group_wants
from shared.clock import to_datetime
from shared.parts import Plan
from shared.prices import Backlog, Bid, Prices, Saturation
from tests.routing_scene import HOUR_MS, NOW_MS, SKUS, judged, slots
from tests.small_worlds import NODES, World, worlds


@st.composite
def full_worlds(draw: st.DrawFn) -> World:
    """Small worlds with prices, slots, stock on its way, deadlines and speeds besides."""
    world = draw(worlds(kinds_max=7))
    scene = world.scene
    amount, delay = st.integers(0, 300), st.integers(0, 3_000)
    node = st.sampled_from(NODES)
    if draw(st.booleans()):
        scene.prices = Prices(
            version=1,
            made_at=to_datetime(NOW_MS - draw(st.integers(0, 60)) * HOUR_MS),
            bids=[Bid(node_id=draw(node), sku="sku-0", price_minor=draw(amount))],
            backlogs=[
                Backlog(node_id=draw(node), price_minor=draw(amount), delay_min=draw(delay))
            ],
            saturations=[
                Saturation(
                    service_id="road", region="CN-GD", price_minor=draw(amount),
                    delay_min=draw(delay),
                )
            ],
        )  # fmt: skip
    if draw(st.booleans()):
        scene.slots = slots(draw(st.integers(0, 2)), draw(st.integers(0, 5)), draw(node))
    if draw(st.booleans()):
        scene.incoming = Incoming(
            [
                Lot(
                    draw(node), f"l{number}", draw(st.sampled_from(SKUS[:3])),
                    draw(st.integers(1, 4)), NOW_MS + draw(st.integers(1, 90)) * HOUR_MS,
                    draw(st.integers(0, 1_000)),
                )
                for number in range(draw(st.integers(1, 3)))
            ]
        )  # fmt: skip
    scene.of = judged(
        scene.of,
        late_minor=draw(st.sampled_from([0, 500])),
        late_minor_per_h=draw(st.sampled_from([0, 20])),
        standard_minor_per_h=draw(st.sampled_from([0, 5])),
        congestion_minor=draw(st.sampled_from([0, 300])),
        incoming_minor_per_h=draw(st.sampled_from([None, 0, 5])),
    )
    world.asked["deadline"] = draw(
        st.one_of(st.none(), st.integers(0, 90).map(lambda h: to_datetime(NOW_MS + h * HOUR_MS)))
    )
    return world


def lines_add_up(world: World, answer: Routed) -> None:
    left = {x.line: x.quantity for x in world.wants}
    packages = [] if answer.plan is None else answer.plan.packages
    for line in [x for package in packages for x in package.lines]:
        left[line.line] -= line.quantity
        assert line.sku == world.wants[line.line].sku
    assert len({shortage.line for shortage in answer.shortages}) == len(answer.shortages)
    for shortage in answer.shortages:
        left[shortage.line] -= shortage.quantity
        assert shortage.sku == world.wants[shortage.line].sku
    assert set(left.values()) == {0}, left
    planned = {line.line for package in packages for line in package.lines}
    assert planned.isdisjoint(shortage.line for shortage in answer.shortages)


def costs_add_up(plan: Plan) -> None:
    for package in plan.packages:
        assert package.cost_minor == sum(msgspec.structs.asdict(package.terms).values())
    assert plan.cost.minor == plan.split_minor + sum(x.cost_minor for x in plan.packages)
    assert 0 <= plan.bound_minor <= plan.cost.minor
    assert plan.optimal == (plan.bound_minor == plan.cost.minor) or plan.cost.minor == 0


def fences_hold(world: World, answer: Routed, plan: Plan) -> None:
    """No package breaks what the plan does not say it breaks, by the oracle's own reading."""
    instance, relaxed = world.instance(), set(plan.relaxed)
    question = world.question()
    units: dict[tuple[str, str], int] = {}
    for package in plan.packages:
        (lane,) = (
            x
            for x in instance.lanes()
            if (x.node_id, x.service_id) == (package.node_id, package.service_id)
        )
        wants = [msgspec.structs.replace(line, quantity=line.quantity) for line in package.lines]
        inside = [type(world.wants[0])(x.line, x.sku, x.quantity) for x in wants]
        broken = set(instance.fences(lane, inside))
        if world.scene.prices is not None:
            broken.discard("tier_promise")  # The oracle knows no delays.
        assert broken <= relaxed, (broken, relaxed)
        for x in inside:
            key = package.node_id, x.sku
            units[key] = units.get(key, 0) + x.quantity
    for key, taken in units.items():
        reserve = 0 if "walk_in" in relaxed else instance.nodes[key[0]].walk_in_units
        assert taken <= instance.units.get(key, 0) - reserve
    if "packages_max" not in relaxed:
        assert len(plan.packages) <= instance.packages_max(frozenset())
    where = {
        line.line: {p.package for p in plan.packages if line in p.lines}
        for package in plan.packages
        for line in package.lines
    }
    whole = question.customer.split_allowed or "split_allowed" in relaxed
    if not whole:
        assert len(plan.packages) == 1
        assert answer.shortages == []
    for group in group_wants(world.wants, True):
        if len({x.sku for x in group}) > 1 or not world.scene.of.profile.split_lines:
            packages = {frozenset(where.get(x.line, set())) for x in group}
            assert len(packages) == 1, "a group is in one package, or waits"
    if world.scene.slots is not None:
        for node_id in (x.node_id for x in world.scene.of.nodes):
            if not world.scene.slots.of(node_id):
                continue
            of_node = [x for x in plan.packages if x.node_id == node_id]
            for package in of_node:
                assert package.slot is not None
                assert len(of_node) <= world.scene.slots.share(node_id, package.slot)


@settings(max_examples=300, deadline=None)
@given(full_worlds(), st.booleans())
def test_every_answer_adds_up_keeps_its_fences_and_is_repeatable(world: World, offer: bool) -> None:
    answer = world.scene.ask(world.wants, offer=offer, alternatives=True, **dict(world.asked))
    lines_add_up(world, answer)
    for plan in [answer.plan, *(x.plan for x in answer.alternatives)]:
        if plan is not None:
            costs_add_up(plan)
            fences_hold(world, answer, plan)
    for shortage in answer.shortages:
        assert (shortage.reason != "fenced") or shortage.conflict or shortage.expected_at
    again = world.scene.ask(world.wants, offer=offer, alternatives=True, **dict(world.asked))
    assert _bytes(again) == _bytes(answer)


def _bytes(answer: Routed) -> bytes:
    return msgspec.json.encode((answer.plan, answer.shortages, answer.alternatives))
