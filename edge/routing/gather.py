"""One question as arrays: which option may ship which group, and what that costs.

Entries are distinct SKUs within groups, in the groups' order. Options are a node with a carrier
service; behind those that ship from the shelf stand, where stock is on its way, the same ones
again with a later ship date (`edge.routing.waiting`).
"""

from dataclasses import dataclass
from itertools import chain
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.capacity import Slot
from edge.network import Ints
from edge.routing import fences
from edge.routing.arrival import Arrivals
from edge.routing.fences import fence_masks
from edge.routing.known import Known
from edge.routing.problem import Problem
from edge.routing.question import Question, Want, group_wants
from edge.routing.waiting import Waiting, later_ready_ms, waiting_for
from shared.clock import to_ms
from shared.limits import COST_MINOR_MAX, PACKAGES_MAX
from shared.parts import Limits, Terms
from shared.sourcing import Profile, TierPromise

Bools = NDArray[np.bool_]

BID_MINOR_MAX: Final = COST_MINOR_MAX // 5
REJECTION_MINOR_MAX: Final = COST_MINOR_MAX // 6
WAITING_MINOR_MAX: Final = COST_MINOR_MAX // 10
"""Of one group, or package: with these, costs stay within the kernels' integers."""

_HOUR_MS = 3_600_000
_NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, with what it is judged by.

    Attributes:
        relaxed: fences that count for nothing, by bit.
    """

    known: Known
    question: Question
    profile: Profile
    now_ms: int
    relaxed: int = 0


class Gathered:
    """The arrays of a question; G groups, O options.

    Args:
        asked: what is decided.
        crowded: nodes, each with a group that its slot turned out to have no room for.

    Attributes:
        groups: the lines that ship together.
        masks: int64[O, G], fences that keep each option from each group.
        can: bool[O, G], whether it may.
    """

    def __init__(self, asked: Asked, crowded: set[tuple[int, int]]) -> None:
        """See the class."""
        known, question, now_ms = asked.known, asked.question, asked.now_ms
        self.asked = asked
        self.snapshot = snapshot = known.snapshot
        together = question.customer.split_allowed or bool(asked.relaxed & fences.split_allowed)
        self.groups = group_wants(question.wants, together)
        self._entries()
        self.shares: Ints = known.stock.share[self.products]
        self.base = known.base(question, asked.profile, now_ms)
        self.options = self.base.options
        self.rows: Ints = np.arange(len(self.options.node))
        self.ready_ms = snapshot.ready_ms(self.options.node, now_ms)
        if known.rates.node_delay_min.any():
            counted = known.rates.counted_per_mille(now_ms)
            delay_min = known.rates.node_delay_min[self.options.node] * counted // 1_000
            self.ready_ms += delay_min * 60_000
        self.fenced = self.base.fenced
        self.preference = self.base.preference
        self.full: set[int] = set()
        self.slot_of: dict[int, Slot] = {}
        self.congestion: Ints | None = None
        self._fence_options()
        self.waiting: list[Waiting] = []
        self._fence_groups(crowded)
        self._await_stock()
        self.arrivals = Arrivals(
            snapshot, self.options, self.ready_ms, self.base.delay_min[self.rows], now_ms
        )
        self._keep_tier_promise()
        self.can: Bools = (self.masks & ~asked.relaxed) == 0
        self._price()

    def _entries(self) -> None:
        units_of: list[dict[str, int]] = []
        for group in self.groups:
            units: dict[str, int] = {}
            for want in group:
                units[want.sku] = units.get(want.sku, 0) + want.quantity
            units_of.append(units)
        snapshot = self.snapshot
        self.skus = list(chain.from_iterable(units_of))
        self.products = np.array([snapshot.sku_ix[sku] for sku in self.skus], np.int64)
        self.demand = np.array([n for units in units_of for n in units.values()], np.int64)
        starts = [0]
        for units in units_of:
            starts.append(starts[-1] + len(units))
        self.starts = np.array(starts, np.int64)
        first = self.starts[:-1]
        self.weight_g: Ints = np.add.reduceat(self.demand * snapshot.weight_g[self.products], first)
        self.classes: Ints = np.bitwise_or.reduceat(snapshot.classes[self.products], first)

    def _fence_options(self) -> None:
        """What keeps an option out whatever it is to ship: the order's wishes, geofence, slots."""
        question, known = self.asked.question, self.asked.known
        limits = question.fulfilment.limits
        if limits != _NO_LIMITS:
            fenced, cost = known.limits(
                self.options, limits, self.asked.profile.not_preferred_minor
            )
            self.fenced = self.fenced | fenced
            self.preference = self.preference + cost
        if question.failed:
            failed = {self.snapshot.node_ix.get(name, -1) for name in question.failed}
            self._fence_nodes(failed, fences.failed_before)
        if question.fulfilment.kind == "delivery" and question.destination is not None:
            outside = self.snapshot.outside(question.destination.lat, question.destination.lon)
            if outside.any():
                self.fenced = np.where(
                    outside[self.options.node], self.fenced | fences.area, self.fenced
                )
        if question.fulfilment.kind != "carry_out":  # which nobody picks
            self._take_slots()
        if self.full:
            self._fence_nodes(self.full, fences.capacity)

    def _fence_nodes(self, nodes: set[int], fence: int) -> None:
        self.fenced = self.fenced.copy()
        for node in nodes:
            if node in self.base.rows:
                self.fenced[self.base.rows[node]] |= fence

    def _take_slots(self) -> None:
        """Where nodes have announced slots, a package waits for the first with room."""
        slots, profile = self.asked.known.slots, self.asked.profile
        for node_id in slots.nodes():
            node = self.snapshot.node_ix.get(node_id, -1)
            rows = self.base.rows.get(node)
            if rows is None:
                continue
            slot = slots.first(node_id, int(self.ready_ms[rows.start]))
            if slot is None:
                self.full.add(node)
                continue
            self.slot_of[node] = slot
            self.ready_ms[rows] = np.maximum(self.ready_ms[rows], slot.starts_ms)
            over = profile.congestion_packages - slots.share(node_id, slot.sku) + 1
            if profile.congestion_minor and over > 0:
                if self.congestion is None:
                    self.congestion = np.zeros(len(self.rows), np.int64)
                self.congestion[rows] = (
                    profile.congestion_minor * over // profile.congestion_packages
                )

    def _fence_groups(self, crowded: set[tuple[int, int]]) -> None:
        """What keeps an option from a group: shares, weight, classes of goods."""
        base, stock = self.base, self.asked.known.stock
        reserve = stock.reserve
        if self.asked.question.fulfilment.kind == "carry_out":
            reserve = np.zeros_like(reserve)  # who carries it out has walked in
        self.masks = fence_masks(
            self.shares, reserve, self.demand, self.starts, self.weight_g, self.classes,
            self.options.node, base.limit_g, base.ability, self.fenced,
        )  # fmt: skip
        for group, wants in enumerate(self.groups):
            if wants[0].node_id is not None:
                node = self.snapshot.node_ix[wants[0].node_id]
                self.masks[self.options.node != node, group] |= fences.share
        for node, group in crowded:
            self.masks[self.base.rows[node], group] |= fences.capacity

    def _await_stock(self) -> None:
        """Put the options behind the others that ship once stock has arrived."""
        self.waiting = waiting_for(self)
        if not self.waiting:
            return
        shelf = len(self.rows)
        rows = np.concatenate([np.arange(len(self.rows)), *(x.rows for x in self.waiting)])
        self.ready_ms = np.concatenate(
            [self.ready_ms, *(later_ready_ms(self, x) for x in self.waiting)]
        )
        self.masks = np.vstack([self.masks, *(x.masks for x in self.waiting)])
        self.rows, self.options = rows, self.options.take(rows)
        self.preference = self.preference[rows]
        if self.congestion is not None:
            self.congestion = self.congestion[rows]
            self.congestion[shelf:] = 0

    @property
    def shelf(self) -> int:
        """How many options ship from the shelf; the others wait for stock."""
        return len(self.base.options.node)

    def waits_for(self, option: int) -> Waiting | None:
        """What an option waits for."""
        at = option - self.shelf
        for waiting in self.waiting:
            if 0 <= at < len(waiting.rows):
                return waiting
            at -= len(waiting.rows)
        return None

    def tier_promise(self) -> TierPromise | None:
        """What the customer's tier is promised in any case."""
        tier = self.asked.question.customer.tier
        promises = self.asked.profile.tier_promises
        return next((promise for promise in promises if promise.tier == tier), None)

    def _keep_tier_promise(self) -> None:
        promise = self.tier_promise()
        if promise is None or self.asked.question.fulfilment.kind != "delivery":
            return
        late_ppm, _ = self.arrivals.lateness(self.asked.now_ms + promise.within_h * _HOUR_MS)
        broken = late_ppm > (1_000 - promise.on_time_per_mille) * 1_000
        self.masks[broken] |= fences.tier_promise

    def _price(self) -> None:
        """int64[O] per package, int64[O, G] per group."""
        base, rows, profile = self.base, self.rows, self.asked.profile
        question = self.asked.question
        zero = np.zeros(len(rows), np.int64)
        deadline = question.fulfilment.deadline
        self.lateness, self.speed = zero, zero
        if deadline is not None:
            self.lateness = self.arrivals.lateness_minor(to_ms(deadline), profile)
        per_h = {
            "economy": profile.economy_minor_per_h,
            "standard": profile.standard_minor_per_h,
            "express": profile.express_minor_per_h,
        }[question.customer.speed]
        if per_h and question.fulfilment.kind == "delivery":
            self.speed = self.arrivals.speed_minor(per_h)
        self.wait = zero
        if self.waiting:
            hours = [np.zeros(self.shelf, np.int64)]
            for x in self.waiting:
                minor = (x.until_ms - self.asked.now_ms) * (profile.incoming_minor_per_h or 0)
                hours.append(np.full(len(x.rows), min(minor // _HOUR_MS, WAITING_MINOR_MAX)))
            self.wait = np.concatenate(hours)
            fixed = (base.handling + base.backlog + base.saturation)[rows]
        else:
            fixed = base.handling + base.backlog + base.saturation
        fixed = fixed + self.preference + self.lateness + self.speed + self.wait
        self.fixed: Ints = fixed if self.congestion is None else fixed + self.congestion
        self.rejection = self._rejection()
        self.bid = self._bid()
        parts = [x for x in (self.rejection, self.bid) if x is not None]
        self.assign: Ints = sum(parts[1:], parts[0]) if parts else np.zeros_like(self.masks)

    def _rejection(self) -> Ints | None:
        """What a failed pick costs, times its chance; None where nothing has failed."""
        known, reroute = self.asked.known, self.asked.profile.reroute_minor
        cost: Ints | None = None
        starts = self.starts.tolist()
        for group in range(len(self.groups)):
            for sku in self.skus[starts[group] : starts[group + 1]]:
                for node_id, chance in known.failures.chances(sku, self.asked.now_ms):
                    node = self.snapshot.node_ix.get(node_id, -1)
                    if node not in self.base.rows:
                        continue
                    if cost is None:
                        cost = np.zeros((self.shelf, len(self.groups)), np.int64)
                    cost[self.base.rows[node], group] += reroute * chance // 1_000
        if not self.waiting:
            return cost if cost is None else np.minimum(cost, min(reroute, REJECTION_MINOR_MAX))
        if cost is None:
            cost = np.zeros((self.shelf, len(self.groups)), np.int64)
        held = [reroute * (1_000 - x.release_per_mille) // 1_000 for x in self.waiting]
        cost = np.vstack(
            [cost, *(cost[x.rows] + risk for x, risk in zip(self.waiting, held, strict=True))]
        )
        return np.minimum(cost, min(reroute, REJECTION_MINOR_MAX))

    def _bid(self) -> Ints | None:
        """What the units would bring elsewhere; None where nothing has a price."""
        rates = self.asked.known.rates
        bids = rates.bids(self.products.tolist(), self.shares.shape[1])
        if bids is None:
            return None
        counted = rates.counted_per_mille(self.asked.now_ms)
        of_node = np.add.reduceat(bids * self.demand[:, None], self.starts[:-1], axis=0)
        cost = np.minimum(of_node * counted // 1_000, BID_MINOR_MAX)
        return np.ascontiguousarray(cost[:, self.options.node].T)

    def packages_max(self) -> int:
        """How many packages are still allowed."""
        if self.asked.relaxed & fences.packages_max:
            return PACKAGES_MAX - self.asked.question.packages_used
        return self.packages_allowed()

    def packages_allowed(self) -> int:
        """How many packages profile and customer still allow."""
        question, limit = self.asked.question, self.asked.profile.packages_max
        if question.customer.packages_max is not None:
            limit = min(limit, question.customer.packages_max)
        return limit - question.packages_used

    def problem(self, chosen: Ints, packages_max: int) -> Problem:
        """The solver's arrays for the chosen groups."""
        can, assign = self.can, self.assign
        if len(chosen) < len(self.groups):
            can = np.ascontiguousarray(can[:, chosen])
            assign = np.ascontiguousarray(assign[:, chosen])
        snapshot = self.snapshot
        return Problem(
            weight_g=self.weight_g[chosen],
            can=can,
            assign=assign,
            fixed=self.fixed,
            tariff=self.options.tariff,
            step_g=snapshot.step_g,
            step_price=snapshot.step_price,
            split_cost=self.asked.profile.split_cost_minor,
            packages_max=packages_max,
        )

    def terms(self, option: int, inside: Ints, weight_g: int) -> Terms:
        """What a package of some groups costs by an option."""
        row, base, snapshot = int(self.rows[option]), self.base, self.snapshot
        tariff = self.options.tariff[option]
        step = int(np.argmax(snapshot.step_g[tariff] >= weight_g))
        return Terms(
            tariff_minor=int(snapshot.step_price[tariff, step]),
            handling_minor=int(base.handling[row]),
            backlog_minor=int(base.backlog[row]),
            congestion_minor=0 if self.congestion is None else int(self.congestion[option]),
            saturation_minor=int(base.saturation[row]),
            lateness_minor=int(self.lateness[option]),
            speed_minor=int(self.speed[option]),
            waiting_minor=int(self.wait[option]),
            preference_minor=int(self.preference[option]),
            bid_minor=0 if self.bid is None else int(self.bid[option, inside].sum()),
            rejection_minor=(
                0 if self.rejection is None else int(self.rejection[option, inside].sum())
            ),
        )

    def wants_of(self, groups: Ints) -> list[Want]:
        """The lines of some groups, in the order's sequence."""
        wants = chain.from_iterable(self.groups[group] for group in groups.tolist())
        return sorted(wants, key=lambda want: want.line)
