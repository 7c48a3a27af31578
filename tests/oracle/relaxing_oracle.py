"""Fences, conflicts and relaxations by brute force, on instances of a few lines and options.

Every set of fences is tried, and for each every plan. Fences are recomputed from the documents
alone. Only what `tests.routing_scene` builds is understood: times that are certain, no stock on
its way, no slots, no prices, no deadlines; a package costs its tariff, its handling and what not
being preferred costs.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from itertools import combinations

from edge.routing.question import Question, Want, group_wants
from shared.network import Lane, Network, Node
from shared.sourcing import Profile
from tests.oracle.subset_oracle import partitions

BREAKABLE = (
    "walk_in", "tier_promise", "required_services", "forbidden_services", "required_nodes",
    "forbidden_nodes", "area", "packages_max", "split_allowed",
)  # fmt: skip
"""The least bad first, where a profile does not say otherwise."""

Fences = frozenset[str]
Lines = frozenset[int]


class Instance:
    """A question, and all that it may be answered by.

    Args:
        of: the network; its profile judges.
        cells: node, SKU, units.
        asked: the question.
        outside: nodes whose geofence does not hold the destination.
    """

    def __init__(
        self, of: Network, cells: list[tuple[str, str, int]], asked: Question, outside: set[str]
    ) -> None:
        """See the class."""
        self.of = of
        self.profile: Profile = of.profile
        self.units = {(node, sku): n for node, sku, n in cells}
        self.asked = asked
        self.outside = outside
        self.nodes = {node.node_id: node for node in of.nodes}
        self.products = {product.sku: product for product in of.products}
        self.services = {service.service_id: service for service in of.services}
        self._done: dict[Fences, tuple[Lines, int, bool]] = {}

    def weight_g(self, group: list[Want]) -> int:
        return sum(self.products[x.sku].weight_g * x.quantity for x in group)

    def lanes(self) -> list[Lane]:
        """The options: lanes to the destination from open nodes that serve it."""
        assert self.asked.destination is not None
        region = self.asked.destination.region
        return [
            lane
            for lane in self.of.lanes
            if lane.region == region
            and self.nodes[lane.node_id].status == "open"
            and region in (self.nodes[lane.node_id].serves or [region])
        ]

    def fences(self, lane: Lane, group: list[Want]) -> Fences:
        """What keeps a group from being shipped by a lane."""
        node, service = self.nodes[lane.node_id], self.services[lane.service_id]
        found: set[str] = set()
        if group[0].node_id not in (None, node.node_id):
            found.add("share")  # a piece that comes from another node
        for limits in (self.profile.limits, self.asked.fulfilment.limits):
            if limits.required_nodes and node.node_id not in limits.required_nodes:
                found.add("required_nodes")
            if node.node_id in limits.forbidden_nodes:
                found.add("forbidden_nodes")
            if limits.required_services and service.service_id not in limits.required_services:
                found.add("required_services")
            if service.service_id in limits.forbidden_services:
                found.add("forbidden_services")
        if node.node_id in self.outside:
            found.add("area")
        classes = {name for x in group for name in self.products[x.sku].classes}
        if not classes <= set(node.abilities) & set(service.abilities):
            found.add("goods_class")
        if self.weight_g(group) > service.weight_g_max:
            found.add("carrier_limit")
        for sku in {x.sku for x in group}:
            wanted = sum(x.quantity for x in group if x.sku == sku)
            have = self.units.get((node.node_id, sku), 0)
            if have < wanted:
                found.add("share")
            elif have - node.walk_in_units < wanted:
                found.add("walk_in")
        for promise in self.profile.tier_promises:
            hours = _handling_h(node) + _transit_h(self.of, lane)
            if promise.tier == self.asked.customer.tier and hours > promise.within_h:
                found.add("tier_promise")
        return frozenset(found)

    def price(self, lane: Lane, groups: list[list[Want]]) -> int | None:
        """What a package costs; None: it is too heavy."""
        weight_g = sum(map(self.weight_g, groups))
        if weight_g > self.services[lane.service_id].weight_g_max:
            return None
        (tariff,) = (x for x in self.of.tariffs if x.tariff_id == lane.tariff_id)
        steps = [step.price_minor for step in tariff.steps if weight_g <= step.weight_g_max]
        if not steps:
            return None
        cost = steps[0] + self.nodes[lane.node_id].handling_minor
        for limits in (self.profile.limits, self.asked.fulfilment.limits):
            if limits.preferred_nodes and lane.node_id not in limits.preferred_nodes:
                cost += self.profile.not_preferred_minor
            if limits.preferred_services and lane.service_id not in limits.preferred_services:
                cost += self.profile.not_preferred_minor
        return cost

    def packages_max(self, broken: Fences) -> int:
        if "packages_max" in broken:
            return 64
        customer = self.asked.customer.packages_max
        return min(self.profile.packages_max, customer or 64)

    def solve(self, broken: Fences) -> tuple[Lines, int, bool]:
        """The lines that ship if some fences are broken, what that costs, whether they are all."""
        if broken not in self._done:
            self._done[broken] = self._solve(broken)
        return self._done[broken]

    def _solve(self, broken: Fences) -> tuple[Lines, int, bool]:
        together = self.asked.customer.split_allowed or "split_allowed" in broken
        all_groups = group_wants(self.asked.wants, together)
        lanes = self.lanes()
        can = {
            (at, number): self.fences(lane, group) <= broken
            for at, lane in enumerate(lanes)
            for number, group in enumerate(all_groups)
        }
        groups = [
            number
            for number in range(len(all_groups))
            if any(can[at, number] for at in range(len(lanes)))
        ]
        most = self.packages_max(broken) - (len(groups) < len(all_groups))
        best: int | None = None
        for partition in partitions(groups):
            if not partition or len(partition) > most:
                continue
            cost = self.profile.split_cost_minor * (len(partition) - 1)
            for package in partition:
                costs = [
                    price
                    for at, lane in enumerate(lanes)
                    if all(can[at, number] for number in package)
                    and (price := self.price(lane, [all_groups[x] for x in package])) is not None
                ]
                if not costs:
                    break
                cost += min(costs)
            else:
                best = cost if best is None else min(best, cost)
        if best is None:
            return frozenset(), 0, False
        lines = frozenset(x.line for number in groups for x in all_groups[number])
        return lines, best, len(groups) == len(all_groups)

    def planned(self, broken: Fences) -> Lines:
        """The lines that ship if some fences are broken."""
        return self.solve(broken)[0]

    @cached_property
    def first(self) -> Lines:
        """The lines that ship with every fence kept."""
        return self.planned(frozenset())

    @cached_property
    def most(self) -> Lines:
        """The lines that ship with every fence broken."""
        return self.planned(frozenset(BREAKABLE))

    def clash_size(self, wanted: Lines) -> int:
        """How many fences the smallest set has that cannot all be kept if these lines ship."""
        return min(len(kept) for kept in subsets(BREAKABLE) if self.clashes(kept, wanted))

    def clashes(self, kept: Fences, wanted: Lines) -> bool:
        """Whether some lines do not ship where these fences are kept and all others broken."""
        return not self.planned(frozenset(BREAKABLE) - kept) >= wanted

    def best_breach(self, permitted: list[str]) -> tuple[Fences, Lines, int]:
        """The fences that are broken best, what ships then, and what that costs."""
        goal = self.planned(frozenset(permitted))
        if not goal > self.first:
            return frozenset(), self.first, self.solve(frozenset())[1]
        ways = []
        for broken in subsets(permitted):
            lines, cost, _ = self.solve(broken)
            if lines >= goal:
                worst_first = sorted((permitted.index(name) for name in broken), reverse=True)
                ways.append((len(broken), worst_first, cost, broken, lines))
        _, _, cost, broken, lines = min(ways, key=lambda way: way[:3])
        return broken, lines, cost


def subsets(names: tuple[str, ...] | list[str]) -> Iterator[Fences]:
    """Every set of some names, the smallest first."""
    for size in range(len(names) + 1):
        yield from map(frozenset, combinations(names, size))


def _handling_h(node: Node) -> float:
    (minutes,) = set(node.handling_spread_min)
    return minutes / 60


def _transit_h(of: Network, lane: Lane) -> float:
    (transit,) = (x for x in of.transits if x.transit_id == lane.transit_id)
    (minutes,) = set(transit.spread_min)
    return minutes / 60
