"""One line from several nodes: only if the profile allows it and no node has enough."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import asdict

from edge.incoming import Incoming, Lot
from edge.routing.question import Routed, Want
from shared.clock import to_ms
from shared.parts import Limits
from tests.oracle.relaxing_oracle import Instance
from tests.routing_scene import (
    SKUS,
    Scene,
    a_lane,
    a_network,
    a_node,
    a_question,
    by,
    judged,
    near_and_far,
    nodes_of,
    plan_of,
    reasons_of,
    slots,
    want,
    winner,
    with_node,
)

OF = judged(near_and_far(), split_lines=True)


def taken(answer: Routed) -> dict[tuple[str, int], int]:
    """Units by node and line."""
    found: dict[tuple[str, int], int] = {}
    for package in plan_of(answer).packages:
        for line in package.lines:
            key = package.node_id, line.line
            assert key not in found, "a node ships a line twice"
            found[key] = line.quantity
    return found


def test_a_line_comes_from_several_nodes_only_if_the_profile_allows_it() -> None:
    units = {"near": 3, "far": 4}
    assert taken(Scene(OF, units).ask([want(0, 6)])) in (
        {("near", 0): 3, ("far", 0): 3},
        {("near", 0): 2, ("far", 0): 4},
    )
    assert reasons_of(Scene(near_and_far(), units).ask([want(0, 6)])) == {0: "share"}


def test_a_line_is_not_cut_where_one_node_has_enough_be_it_dearer() -> None:
    of = judged(OF, split_cost_minor=0)
    assert winner(Scene(of, {"near": 2, "far": 3}).ask([want(0, 3)])) == "far"


def test_a_line_is_not_cut_where_all_together_have_too_little() -> None:
    assert reasons_of(Scene(OF, {"near": 3, "far": 4}).ask([want(0, 8)])) == {0: "share"}


def test_who_refuses_splits_gets_no_line_in_pieces() -> None:
    answer = Scene(OF, {"near": 3, "far": 4}).ask([want(0, 6)], split_allowed=False)
    assert answer.plan is None


def test_pieces_count_as_packages() -> None:
    answer = Scene(OF, {"near": 3, "far": 4}).ask([want(0, 6)], packages_max=1)
    assert answer.plan is None
    assert nodes_of(Scene(OF, {"near": 3, "far": 4}).ask([want(0, 6)], packages_max=2))


def test_lines_of_one_sku_are_cut_together_and_no_unit_is_promised_twice() -> None:
    wants = [want(0, 3), want(1, 4, sku="sku-0")]
    found = taken(Scene(OF, {"near": 5, "far": 4}).ask(wants))
    assert sum(units for (_, line), units in found.items() if line == 0) == 3
    assert sum(units for (_, line), units in found.items() if line == 1) == 4
    assert sum(units for (node, _), units in found.items() if node == "near") <= 5
    assert sum(units for (node, _), units in found.items() if node == "far") <= 4


def test_a_line_that_must_ship_with_another_is_never_cut() -> None:
    wants = [want(0, 3, "gift"), want(1, 4, "gift", sku="sku-0")]
    assert reasons_of(Scene(OF, {"near": 5, "far": 4}).ask(wants)) == {0: "share", 1: "share"}
    other = [want(0, 6, "gift"), want(1, 1, "gift")]
    assert Scene(OF, {"near": 5, "far": 4}).ask(other).plan is None
    alone = Scene(OF, {"near": 5, "far": 4}).ask([want(0, 6, "gift")])
    assert len(nodes_of(alone)) == 2


def test_what_is_left_for_who_walks_in_is_not_given_by_pieces() -> None:
    of = with_node(OF, "near", walk_in_units=2)
    assert reasons_of(Scene(of, {"near": 3, "far": 4}).ask([want(0, 6)])) == {0: "share"}
    assert taken(Scene(of, {"near": 4, "far": 4}).ask([want(0, 6)])) == {
        ("near", 0): 2, ("far", 0): 4,
    }  # fmt: skip


def test_a_line_is_cut_now_rather_than_waiting_for_stock_on_its_way() -> None:
    coming = Incoming([Lot("near", "l", "sku-0", 9, to_ms(by(48)), 1_000)])
    units = {"near": 3, "far": 4}
    assert len(nodes_of(Scene(OF, units, incoming=coming).ask([want(0, 6)]))) == 2
    # Where waiting has a price, the cheaper of the two.
    cheap, dear = (judged(OF, incoming_minor_per_h=price) for price in (1, 100))
    (waits,) = Scene(cheap, units, incoming=coming).ask([want(0, 6)]).shortages
    assert waits.expected_at == by(48)
    assert len(nodes_of(Scene(dear, units, incoming=coming).ask([want(0, 6)]))) == 2


def test_cutting_one_line_takes_nothing_from_another() -> None:
    # Near has room for one package, which the second line needs; then the first cannot be cut.
    light = [msgspec.structs.replace(x, weight_g=900) for x in OF.products]
    of = msgspec.structs.replace(
        OF,
        products=light,
        services=[msgspec.structs.replace(x, weight_g_max=2_000) for x in OF.services],
    )
    units = {"near": {"sku-0": 1, "sku-1": 2}, "far": {"sku-0": 1}}
    answer = Scene(of, units, slots=slots(1)).ask([want(0, 2), want(1, 2)])
    assert taken(answer) == {("near", 1): 2}
    assert reasons_of(answer)[0] in ("share", "capacity")


def test_two_lines_can_both_be_cut_and_are_not_called_proven() -> None:
    answer = Scene(OF, {"near": 3, "far": 4}).ask([want(0, 6), want(1, 5)])
    assert answer.shortages == []
    found = taken(answer)
    assert {line: sum(n for (_, x), n in found.items() if x == line) for line in (0, 1)} == {
        0: 6, 1: 5,
    }  # fmt: skip
    assert not plan_of(answer).optimal
    assert plan_of(answer).bound_minor == 0


# Against every way that the rules allow.


def test_a_line_is_cut_with_a_fence_broken_where_both_are_permitted() -> None:
    units, asked = {"near": 3, "far": 4}, {"limits": Limits(forbidden_nodes=["far"])}
    refused = Scene(OF, units).ask([want(0, 6)], **asked)
    assert refused.plan is None
    assert refused.shortages[0].conflict == ["forbidden_nodes"]
    permitting = judged(OF, relax=["forbidden_nodes"])
    answer = Scene(permitting, units).ask([want(0, 6)], **asked)
    assert sum(taken(answer).values()) == 6
    assert set(taken(answer)) == {("near", 0), ("far", 0)}
    assert (plan_of(answer).relaxed, plan_of(answer).conflict) == (["forbidden_nodes"],) * 2
    whole = judged(permitting, split_lines=False)
    assert Scene(whole, units).ask([want(0, 6)], **asked).plan is None


def test_a_cut_that_keeps_every_fence_goes_before_a_whole_line_that_breaks_one() -> None:
    of = judged(OF, relax=["forbidden_nodes"])
    third = a_network(*of.nodes, a_node("third"), lanes=[*of.lanes, a_lane("third")])
    scene = Scene(judged(third, **asdict(of.profile)), {"near": 3, "far": 4, "third": 9})
    answer = scene.ask([want(0, 6)], limits=Limits(forbidden_nodes=["third"]))
    assert {node for node, _ in taken(answer)} == {"near", "far"}
    assert plan_of(answer).relaxed == []


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(st.sampled_from("abcd"), st.integers(1, 6), min_size=1),
    st.sets(st.sampled_from("abcd")),
    st.sets(st.sampled_from("abcd")),
    st.integers(1, 12),
    st.permutations(["forbidden_nodes", "required_nodes"]),
)
def test_a_line_is_cut_with_as_few_fences_broken_as_it_takes(
    units: dict[str, int], forbidden: set[str], required: set[str], wanted: int, relax: list[str]
) -> None:
    of = a_network(*map(a_node, "abcd"), lanes=list(map(a_lane, "abcd")))
    of = judged(of, relax=relax, split_lines=True)
    limits = Limits(forbidden_nodes=sorted(forbidden), required_nodes=sorted(required))
    answer = Scene(of, units).ask([want(0, wanted)], limits=limits)
    enough = []
    for size in range(3):
        for broken in combinations(relax, size):
            free = {
                node
                for node in units
                if ("forbidden_nodes" in broken or node not in forbidden)
                and ("required_nodes" in broken or not required or node in required)
            }
            if sum(units[node] for node in free) >= wanted:
                enough.append((size, [relax.index(name) for name in broken][::-1], set(broken)))
    if not enough:
        assert answer.plan is None
        return
    assert set(plan_of(answer).relaxed) == min(enough)[2]
    assert sum(taken(answer).values()) == wanted


def ways(units: dict[str, int], line: Want) -> Iterator[list[Want]]:
    """As few nodes as have enough; each but one gives all that it has."""
    for count in range(2, len(units) + 1):
        enough = [x for x in combinations(units, count) if sum(map(units.get, x)) >= line.quantity]
        for chosen in enough:
            for last in chosen:
                rest = line.quantity - sum(units[node] for node in chosen if node != last)
                if rest > 0:
                    yield [
                        replace(line, quantity=rest if node == last else units[node], node_id=node)
                        for node in chosen
                    ]
        if enough:
            return


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_the_cheapest_of_all_ways_to_cut_a_line_is_taken(data: st.DataObject) -> None:
    names = ["a", "b", "c", "d"]
    nodes = [
        a_node(
            name,
            handling_minor=100 * data.draw(st.integers(0, 6)),
            walk_in_units=data.draw(st.integers(0, 1)),
        )
        for name in names
    ]
    lanes = [
        a_lane(name, service, tariff_id=data.draw(st.sampled_from(["near", "far"])))
        for name in names
        for service in ("road", "air")
        if data.draw(st.integers(0, 4))
    ]
    of = judged(
        a_network(*nodes, lanes=lanes),
        split_cost_minor=data.draw(st.sampled_from([0, 300])),
        packages_max=data.draw(st.integers(1, 4)),
        split_lines=True,
    )
    cut, whole = Want(0, "sku-0", data.draw(st.integers(2, 9))), want(1)
    have = {name: {sku: data.draw(st.integers(0, 4)) for sku in SKUS[:2]} for name in names}
    scene = Scene(of, have)
    wants = [cut, whole] if data.draw(st.booleans()) else [cut]
    answer = scene.ask(wants)

    def instance(asked: list[Want]) -> Instance:
        return Instance(of, scene.cells(), a_question(asked), set())

    first = instance(wants)
    reached = {lane.node_id for lane in first.lanes()}
    usable = {
        name: units
        for name in names
        if name in reached and (units := have[name]["sku-0"] - first.nodes[name].walk_in_units) > 0
    }
    none: frozenset[str] = frozenset()
    groups_whole = any(not first.fences(lane, [cut]) for lane in first.lanes())
    costs = []
    if not groups_whole and all(units < cut.quantity for units in usable.values()):
        for pieces in ways(usable, cut):
            tried = instance(pieces + wants[1:])
            lines, cost, every = tried.solve(none)
            if every or (lines == {0} and not tried.planned(none) & {1} and _pieces_ship(tried)):
                costs.append((not every, cost))
    if costs:
        best = min(costs)
        found = plan_of(answer)
        assert found.cost.minor == best[1]
        units = sum(n for (_, line), n in taken(answer).items() if line == 0)
        assert units == cut.quantity
    else:
        lines, cost, _ = first.solve(none)
        assert {x for _, x in (taken(answer) if answer.plan else {})} == lines
        assert (answer.plan.cost.minor if answer.plan else 0) == cost
    for (node, line), units in (taken(answer) if answer.plan else {}).items():
        sku = SKUS[line]
        assert units <= have[node][sku] - first.nodes[node].walk_in_units


def _pieces_ship(tried: Instance) -> bool:
    """Whether each piece has an option of its own."""
    pieces = [x for x in tried.asked.wants if x.node_id is not None]
    return all(any(not tried.fences(lane, [x]) for lane in tried.lanes()) for x in pieces)
