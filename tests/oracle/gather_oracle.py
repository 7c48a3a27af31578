"""What the router gathers, option by option in plain Python: fences, ready times, costs.

Written to be obviously right; only chances and hours of lateness come from the kernel that
`test_lateness` holds to sampling.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from edge.capacity import Slot
from edge.routing import fences
from edge.routing.arrival import LATENESS_MINOR_MAX, SPEED_MINOR_MAX
from edge.routing.gather import BID_MINOR_MAX, REJECTION_MINOR_MAX, WAITING_MINOR_MAX, Asked
from edge.routing.lateness import late_by, late_s_max, one_ppm
from edge.routing.question import Want, group_wants
from edge.routing.waiting import MOMENTS_MAX
from shared.clock import to_ms
from shared.network import Node

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MIN = 1_440


@dataclass(slots=True)
class Way:
    """One option, judged: of each group its fences and what it costs there."""

    row: int
    ready_ms: int
    terms: dict[str, int]
    masks: list[int] = field(default_factory=list)
    bid: list[int] = field(default_factory=list)
    rejection: list[int] = field(default_factory=list)

    def fixed(self) -> int:
        return sum(self.terms.values())


def ways(asked: Asked, crowded: set[tuple[int, int]]) -> list[Way]:
    """Every option of a question, those that wait for stock behind the others."""
    return _Judge(asked, crowded).ways()


def wait_min(node: Node, now_min: int) -> int:
    """Minutes until a node works."""
    local = now_min + node.utc_offset_min
    day, minute = local // DAY_MIN, local % DAY_MIN
    closed = {(x.toordinal() - 719_163) for x in node.closed_on}  # days from 1970-01-01

    def works(day: int) -> bool:
        return (day + 3) % 7 + 1 not in node.closed_weekdays and day not in closed

    if works(day) and minute < node.closes_min:
        return max(node.opens_min - minute, 0)
    ahead = 1
    while not works(day + ahead):
        ahead += 1
    return ahead * DAY_MIN + node.opens_min - minute


class _Judge:
    def __init__(self, asked: Asked, crowded: set[tuple[int, int]]) -> None:
        self.asked, self.crowded = asked, crowded
        self.known, self.question, self.profile = asked.known, asked.question, asked.profile
        self.snapshot = asked.known.snapshot
        self.nodes = self.snapshot.network.nodes
        together = self.question.customer.split_allowed or asked.relaxed & fences.split_allowed
        self.groups = group_wants(self.question.wants, bool(together))
        self.kind = self.question.fulfilment.kind
        self.counted = self.known.rates.counted_per_mille(asked.now_ms)
        region = ""
        if self.kind == "delivery":
            assert self.question.destination is not None
            region = self.question.destination.region
            self.options = self.snapshot.options(region)
        else:
            name = self.question.fulfilment.node_id or self.question.store_id
            self.options = self.snapshot.counter(self.snapshot.node_ix.get(name, -1))
        self.delay, self.price = self.known.rates.saturation(self.options, region or None)
        self.products = {x.sku: x for x in self.snapshot.network.products}

    def units(self, group: list[Want]) -> dict[str, int]:
        found: dict[str, int] = {}
        for want in group:
            found[want.sku] = found.get(want.sku, 0) + want.quantity
        return found

    def ways(self) -> list[Way]:
        shelf = [self.from_shelf(row) for row in range(len(self.options.node))]
        waiting = [] if self.kind == "carry_out" else self.waiting(shelf)
        for way in [*shelf, *waiting]:
            self.price_time(way)
        return [*shelf, *waiting]

    def service(self, row: int) -> Any:
        service = int(self.options.service[row])
        return None if service < 0 else self.snapshot.network.services[service]

    def node(self, row: int) -> Node:
        return self.nodes[self.options.node[row]]

    def ready_ms(self, node: Node, from_ms: int) -> int:
        return from_ms + (wait_min(node, from_ms // MINUTE_MS) + node.handling_min) * MINUTE_MS

    def backlog_ms(self, at: int) -> int:
        return int(self.known.rates.node_delay_min[at]) * self.counted // 1_000 * MINUTE_MS

    def slot(self, node: Node, ready_ms: int) -> tuple[Slot | None, bool]:
        """The slot of a package, and whether the node has any to choose from."""
        slots = self.known.slots
        if self.kind == "carry_out" or not slots.of(node.node_id):
            return None, True
        for slot in slots.of(node.node_id):
            if slot.ends_ms > ready_ms and slots.share(node.node_id, slot.sku):
                return slot, True
        return None, False

    def fences(self, row: int, with_slot: bool) -> int:
        """Those that keep an option out whatever it is to ship."""
        node, service, found = self.node(row), self.service(row), 0
        for limits in (self.profile.limits, self.question.fulfilment.limits):
            if limits.required_nodes and node.node_id not in limits.required_nodes:
                found |= fences.required_nodes
            if node.node_id in limits.forbidden_nodes:
                found |= fences.forbidden_nodes
            if service is not None:
                if limits.required_services and service.service_id not in limits.required_services:
                    found |= fences.required_services
                if service.service_id in limits.forbidden_services:
                    found |= fences.forbidden_services
        if node.node_id in self.question.failed:
            found |= fences.failed_before
        if self.kind == "delivery":
            destination = self.question.destination
            assert destination is not None
            if self.snapshot.outside(destination.lat, destination.lon)[self.options.node[row]]:
                found |= fences.area
        if not with_slot:
            found |= fences.capacity
        return found

    def preference(self, row: int) -> int:
        node, service, cost = self.node(row), self.service(row), 0
        for limits in (self.profile.limits, self.question.fulfilment.limits):
            if limits.preferred_nodes and node.node_id not in limits.preferred_nodes:
                cost += self.profile.not_preferred_minor
            if (
                service is not None
                and limits.preferred_services
                and service.service_id not in limits.preferred_services
            ):
                cost += self.profile.not_preferred_minor
        return cost

    def group_fences(self, row: int, group: list[Want], more: dict[str, int]) -> int:
        """Those that keep an option from a group; `more` units of SKUs have arrived."""
        node, service, found = self.node(row), self.service(row), 0
        at = int(self.options.node[row])
        units = self.units(group)
        reserve = 0 if self.kind == "carry_out" else int(self.known.stock.reserve[at])
        for sku, wanted in units.items():
            on_hand = int(self.known.stock.share[self.snapshot.sku_ix[sku], at]) + more.get(sku, 0)
            if on_hand < wanted:
                found |= fences.share
            elif on_hand - reserve < wanted:
                found |= fences.walk_in
            able = set(node.abilities)
            if service is not None:
                able &= set(service.abilities)
            if not set(self.products[sku].classes) <= able:
                found |= fences.goods_class
        weight_g = sum(self.products[sku].weight_g * wanted for sku, wanted in units.items())
        if weight_g > max(self.snapshot.step_g[self.options.tariff[row]].tolist()):
            found |= fences.carrier_limit
        return found

    def bid_of(self, row: int, group: list[Want]) -> int:
        at, cost = int(self.options.node[row]), 0
        for sku, wanted in self.units(group).items():
            bids = self.known.rates.bids([self.snapshot.sku_ix[sku]], len(self.nodes))
            cost += 0 if bids is None else int(bids[0, at]) * wanted
        return min(cost * self.counted // 1_000, BID_MINOR_MAX)

    def rejection_of(self, row: int, group: list[Want], release_per_mille: int) -> int:
        cost = self.profile.reroute_minor * (1_000 - release_per_mille) // 1_000
        for sku in self.units(group):
            for node_id, chance in self.known.failures.chances(sku, self.asked.now_ms):
                if node_id == self.node(row).node_id:
                    cost += self.profile.reroute_minor * chance // 1_000
        return min(cost, self.profile.reroute_minor, REJECTION_MINOR_MAX)

    def way(self, row: int, ready_ms: int, release: list[int]) -> Way:
        node, at = self.node(row), int(self.options.node[row])
        return Way(
            row,
            ready_ms,
            terms={
                "handling_minor": node.handling_minor,
                "backlog_minor": int(self.known.rates.node_minor[at]) * self.counted // 1_000,
                "saturation_minor": int(self.price[row]) * self.counted // 1_000,
                "preference_minor": self.preference(row),
                "congestion_minor": 0,
                "waiting_minor": 0,
            },
            bid=[self.bid_of(row, group) for group in self.groups],
            rejection=[
                self.rejection_of(row, group, chance)
                for group, chance in zip(self.groups, release, strict=True)
            ],
        )

    def from_shelf(self, row: int) -> Way:
        node, at = self.node(row), int(self.options.node[row])
        ready_ms = self.ready_ms(node, self.asked.now_ms) + self.backlog_ms(at)
        slot, with_slot = self.slot(node, ready_ms)
        way = self.way(row, ready_ms, [1_000] * len(self.groups))
        if slot is not None:
            way.ready_ms = max(ready_ms, slot.starts_ms)
            profile, left = self.profile, self.known.slots.share(node.node_id, slot.sku)
            over = max(profile.congestion_packages - left + 1, 0)
            way.terms["congestion_minor"] = (
                profile.congestion_minor * over // profile.congestion_packages
            )
        own = self.fences(row, with_slot)
        for number, group in enumerate(self.groups):
            mask = own | self.group_fences(row, group, {})
            if (at, number) in self.crowded:
                mask |= fences.capacity
            piece_of = group[0].node_id
            if piece_of is not None and piece_of != node.node_id:
                mask |= fences.share
            way.masks.append(mask)
        return way

    def waiting(self, shelf: list[Way]) -> list[Way]:
        """The same options again, at each moment when lots have arrived that help."""
        found: list[Way] = []
        skus = {sku for group in self.groups for sku in self.units(group)}
        for at in sorted(set(self.options.node.tolist())):
            rows = [row for row in range(len(shelf)) if self.options.node[row] == at]
            lots = [
                lot
                for sku in skus
                for lot in self.known.incoming.lots(sku, self.asked.now_ms)
                if lot.node_id == self.nodes[at].node_id and lot.release_per_mille
            ]
            for until_ms in sorted({lot.expected_ms for lot in lots})[:MOMENTS_MAX]:
                found += self.moment(rows, [x for x in lots if x.expected_ms <= until_ms], shelf)
        return found

    def release(self, group: list[Want], at: int, arrived: list[Any]) -> int:
        """The chance that the lots that a group needs are let through, the likelier first."""
        chance = 1_000
        for sku, wanted in self.units(group).items():
            lacking = wanted - int(self.known.stock.share[self.snapshot.sku_ix[sku], at])
            drawn = sorted(arrived, key=lambda lot: (lot.expected_ms, lot.units))
            for lot in sorted(drawn, key=lambda lot: -lot.release_per_mille):
                if lot.sku == sku and lacking > 0:
                    chance = chance * lot.release_per_mille // 1_000
                    lacking -= lot.units
        return chance

    def moment(self, rows: list[int], arrived: list[Any], shelf: list[Way]) -> list[Way]:
        until_ms = max(lot.expected_ms for lot in arrived)
        more: dict[str, int] = {}
        for lot in arrived:
            more[lot.sku] = more.get(lot.sku, 0) + lot.units
        at = int(self.options.node[rows[0]])
        release = [self.release(group, at, arrived) for group in self.groups]
        node = self.nodes[at]
        now = self.ready_ms(node, self.asked.now_ms) + self.backlog_ms(at)
        with_slot = self.slot(node, now)[1]
        found = []
        for row in rows:
            ready_ms = self.ready_ms(self.node(row), until_ms) + self.backlog_ms(at)
            way = self.way(row, ready_ms, release)
            minor = (until_ms - self.asked.now_ms) * (self.profile.incoming_minor_per_h or 0)
            way.terms["waiting_minor"] = min(minor // HOUR_MS, WAITING_MINOR_MAX)
            for g, group in enumerate(self.groups):
                mask = self.fences(row, with_slot)
                mask |= self.group_fences(row, group, more)
                broken = self.asked.relaxed
                lacking = (fences.share | fences.walk_in) & ~broken
                here = not shelf[rows[0]].masks[g] & lacking
                shipped = any(way.masks[g] & ~broken == 0 for way in shelf)
                if (
                    here
                    or group[0].node_id is not None
                    or (self.profile.incoming_minor_per_h is None and shipped)
                ):
                    mask |= fences.share
                way.masks.append(mask)
            found.append(way)
        useful = any(not mask & fences.share for way in found for mask in way.masks)
        return found if useful else []

    def price_time(self, way: Way) -> None:
        """What lateness and speed cost an option, and whether it keeps the tier's promise."""
        options, row, asked = self.options, way.row, self.asked
        delay_min = int(self.delay[row]) * self.counted // 1_000

        def late(by_ms: int) -> tuple[int, int]:
            return late_by(
                self.snapshot.tails, self.snapshot.pickups, self.snapshot.calendar,
                self.snapshot.widen_per_mille(asked.now_ms), int(options.node[row]),
                int(options.tail[row]), int(options.pickup[row]), -(-way.ready_ms // MINUTE_MS),
                by_ms // MINUTE_MS - delay_min,
            )  # fmt: skip

        way.terms["lateness_minor"] = way.terms["speed_minor"] = 0
        deadline, profile = self.question.fulfilment.deadline, self.profile
        if deadline is not None:
            late_ppm, late_s = late(to_ms(deadline))
            cost = late_ppm * profile.late_minor // one_ppm
            cost += min(late_s, late_s_max) * profile.late_minor_per_h // 3_600
            way.terms["lateness_minor"] = min(cost, LATENESS_MINOR_MAX)
        if self.kind != "delivery":
            return
        per_h: int = getattr(profile, f"{self.question.customer.speed}_minor_per_h")
        hours_s = min(late(asked.now_ms)[1], late_s_max)
        way.terms["speed_minor"] = min(hours_s * per_h // 3_600, SPEED_MINOR_MAX)
        for promise in profile.tier_promises:
            if promise.tier == self.question.customer.tier:
                late_ppm, _ = late(asked.now_ms + promise.within_h * HOUR_MS)
                if late_ppm > (1_000 - promise.on_time_per_mille) * 1_000:
                    way.masks = [mask | fences.tier_promise for mask in way.masks]
