"""One question as arrays: which option may ship which group, and what that costs.

Entries are distinct SKUs within groups, in the groups' order. Options are a node with a carrier
service; behind those that ship from the shelf stand, where stock is on its way, the same ones
again with a later ship date (`edge.routing.waiting`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.capacity import Board, Slot
from edge.network import Ints
from edge.routing import fences
from edge.routing.arrival import Arrivals
from edge.routing.calendar import full
from edge.routing.fences import allowed, fence_masks
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
_FAR = 10**15


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
        self.options, self.rows = self.base.options, self.base.every
        self.fenced, self.preference = self.base.fenced, self.base.preference
        self.delay_min = self.base.delay_min
        self._fence_options()
        self._take_slots()
        self._fence_groups(crowded)
        self.waiting = waiting_for(self)
        if self.waiting:
            self._await_stock()
        self.arrivals = Arrivals(snapshot, self.options, self.ready_ms, self.delay_min, now_ms)
        self._keep_tier_promise()
        can, options = allowed(self.masks, asked.relaxed)
        self.can: Bools = can
        self.routed: Bools = options > 0
        self._price()

    def _entries(self) -> None:
        snapshot, starts = self.snapshot, [0]
        self.skus: list[str] = []
        demand: list[int] = []
        for group in self.groups:
            units: dict[str, int] = {}
            for want in group:
                units[want.sku] = units.get(want.sku, 0) + want.quantity
            self.skus += units
            demand += units.values()
            starts.append(len(demand))
        self.products = np.array([snapshot.sku_ix[sku] for sku in self.skus], np.int64)
        self.demand = np.array(demand, np.int64)
        self.starts = np.array(starts, np.int64)
        first = self.starts[:-1]
        self.weight_g: Ints = np.add.reduceat(self.demand * snapshot.weight_g[self.products], first)
        self.classes: Ints = np.bitwise_or.reduceat(snapshot.classes[self.products], first)

    def _fence_options(self) -> None:
        """What keeps an option out whatever it is to ship: the order's wishes, geofence."""
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

    def _fence_nodes(self, nodes: set[int], fence: int) -> None:
        self.fenced = self.fenced.copy()
        for node in nodes:
            if node in self.base.rows:
                self.fenced[self.base.rows[node]] |= fence

    def _take_slots(self) -> None:
        """When nodes are ready; where they have announced slots, in the first with room."""
        known, base, profile = self.asked.known, self.base, self.asked.profile
        ready_ms = known.ready_ms(base, self.asked.now_ms)
        self.board: Board | None = None
        self.congestion: Ints | None = None
        self.ready_ms = ready_ms[base.site]
        found = known.first_slots(self.asked.question, base, ready_ms)
        if found is None:
            return
        board, slot = self.board, self.slot = found
        held = slot >= 0
        self.slot_ms: Ints = np.where(held, board.starts_ms.take(slot, mode="clip"), slot)
        self.ready_ms = np.maximum(ready_ms, self.slot_ms)[base.site]
        lacking = slot == full
        if lacking.any():
            bits = np.where(lacking, fences.capacity, 0)
            self.fenced = self.fenced | bits[base.site]
        if profile.congestion_minor:
            packages = profile.congestion_packages
            over = np.maximum(packages + 1 - board.left.take(slot, mode="clip"), 0) * held
            self.congestion = (profile.congestion_minor * over // packages)[base.site]

    def slot_of(self, node: int) -> Slot | None:
        """Where a package from a node's shelf is picked."""
        if self.board is None:
            return None
        slot = int(self.slot[self.base.site[self.base.rows[node].start]])
        return self.board.slots[slot] if slot >= 0 else None

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
        shelf = len(self.rows)
        self.rows = rows = np.concatenate([self.rows, *(x.rows for x in self.waiting)])
        self.ready_ms = np.concatenate(
            [self.ready_ms, *(later_ready_ms(self, x) for x in self.waiting)]
        )
        self.masks = np.vstack([self.masks, *(x.masks for x in self.waiting)])
        self.options = self.options.take(rows)
        self.preference, self.delay_min = self.preference[rows], self.delay_min[rows]
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
        """int64[O] per package, int64[O, G] per group; None for what costs nothing."""
        base, profile, question = self.base, self.asked.profile, self.asked.question
        deadline, delivery = question.fulfilment.deadline, question.fulfilment.kind == "delivery"
        per_h = {
            "economy": profile.economy_minor_per_h,
            "standard": profile.standard_minor_per_h,
            "express": profile.express_minor_per_h,
        }[question.customer.speed]
        self.lateness: Ints | None = None
        self.speed: Ints | None = None
        if deadline is not None and (profile.late_minor or profile.late_minor_per_h):
            self.lateness = self.arrivals.lateness_minor(to_ms(deadline), profile)
        if delivery and per_h:
            self.speed = self.arrivals.speed_minor(per_h)
        self.wait = self._wait() if self.waiting else None
        self.fixed: Ints = (base.cost[self.rows] if self.waiting else base.cost) + self.preference
        for part in (self.congestion, self.lateness, self.speed, self.wait):
            if part is not None:
                self.fixed += part
        self.rejection = self._rejection()
        self.bid = self._bid()
        parts = [x for x in (self.rejection, self.bid) if x is not None]
        self.assign: Ints = (
            sum(parts[1:], parts[0]) if parts else np.zeros(self.masks.shape, np.int64)
        )

    def _wait(self) -> Ints:
        """What waiting for stock costs; nothing on the shelf."""
        per_h = self.asked.profile.incoming_minor_per_h or 0
        hours = np.zeros(len(self.rows), np.int64)
        hours[self.shelf :] = self._of_waiting(
            min((x.until_ms - self.asked.now_ms) * per_h // _HOUR_MS, WAITING_MINOR_MAX)
            for x in self.waiting
        )
        return hours

    def _of_waiting(self, values: Iterable[int]) -> Ints:
        """One value each as one for each option."""
        return np.repeat(
            np.fromiter(values, np.int64), [len(waiting.rows) for waiting in self.waiting]
        )

    def _rejection(self) -> Ints | None:
        """What a failed pick costs, times its chance; None where nothing has failed."""
        known, reroute = self.asked.known, self.asked.profile.reroute_minor
        node_ix, starts = self.snapshot.node_ix, self.starts.tolist()
        of_node: Ints | None = None
        for group in range(len(self.groups)):
            for sku in self.skus[starts[group] : starts[group + 1]]:
                for node_id, chance in known.failures.chances(sku, self.asked.now_ms):
                    node = node_ix.get(node_id)
                    if node is not None:
                        if of_node is None:
                            of_node = np.zeros((len(node_ix), len(self.groups)), np.int64)
                        of_node[node, group] += reroute * chance // 1_000
        if of_node is None and not self.waiting:
            return None
        if of_node is None:
            of_node = np.zeros((len(node_ix), len(self.groups)), np.int64)
        cost = of_node[self.options.node]
        if self.waiting:
            release = np.array([x.release_per_mille for x in self.waiting], np.int64)
            risk = reroute * (1_000 - release) // 1_000
            cost[self.shelf :] += np.repeat(risk, [len(x.rows) for x in self.waiting], axis=0)
        return np.minimum(cost, min(reroute, REJECTION_MINOR_MAX))

    def _bid(self) -> Ints | None:
        """What the units would bring elsewhere; None where nothing has a price."""
        rates = self.asked.known.rates
        bids = rates.bids(self.products.tolist(), self.shares.shape[1])
        if bids is None:
            return None
        counted = rates.counted_per_mille(self.asked.now_ms)
        of_node = np.add.reduceat(bids * self.demand[:, None], self.starts[:-1], axis=0)
        # Within 64 bits: both are bounded, and what is beyond costs no more.
        cost = np.minimum(np.minimum(of_node, _FAR) * counted // 1_000, BID_MINOR_MAX)
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
            congestion_minor=_at(self.congestion, option),
            saturation_minor=int(base.saturation[row]),
            lateness_minor=_at(self.lateness, option),
            speed_minor=_at(self.speed, option),
            waiting_minor=_at(self.wait, option),
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


def _at(cost: Ints | None, option: int) -> int:
    return 0 if cost is None else int(cost[option])
