"""From a question to a plan: gather arrays, solve, name the answer.

Pure: the same snapshot, shares, question and time give the same plan, bit for bit.
"""

import hashlib
from collections import Counter
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from edge.capacity import Slots
from edge.failures import Failures
from edge.network import Ints, Options, Snapshot
from edge.routing.arrival import Arrivals
from edge.routing.problem import Problem, Solution
from edge.routing.question import Question, Routed, group_wants
from edge.routing.solve import solve
from edge.stock import Stock
from shared.clock import to_datetime, to_ms
from shared.limits import CANDIDATES_MAX
from shared.parts import (
    Exclusion,
    ExclusionCode,
    Money,
    Package,
    Plan,
    PlannedLine,
    Shortage,
    ShortageReason,
)

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Known:
    """All that a decision is made by, besides the question and the time."""

    snapshot: Snapshot
    stock: Stock
    slots: Slots
    failures: Failures


class _Gathered:
    """One question as arrays. Entries are distinct SKUs within groups, grouped in order."""

    def __init__(self, known: Known, question: Question, now_ms: int, crowded: set[int]) -> None:
        snapshot = known.snapshot
        self.known = known
        self.snapshot = snapshot
        self.now_ms = now_ms
        self.question = question
        self.groups = group_wants(question.wants, question.customer.split_allowed)
        units_of: list[dict[str, int]] = []
        for group in self.groups:
            units: dict[str, int] = {}
            for want in group:
                units[want.sku] = units.get(want.sku, 0) + want.quantity
            units_of.append(units)
        self.skus = list(chain.from_iterable(units_of))
        products = np.array([snapshot.sku_ix[sku] for sku in self.skus], np.int64)
        demand = np.array([n for units in units_of for n in units.values()], np.int64)
        starts = np.cumsum([0] + [len(units) for units in units_of[:-1]])
        self.starts = starts
        self.shares = known.stock.share[products]
        self.weight_g: Ints = np.add.reduceat(demand * snapshot.weight_g[products], starts)

        self.options = self._options()
        self.enough: Bools = self.shares >= demand[:, None]
        self.can_node: Bools = np.logical_and.reduceat(self.enough, starts, axis=0)
        self.stocked: Bools = np.ascontiguousarray(self.can_node[:, self.options.node].T)
        limit_g = snapshot.limit_g[self.options.tariff]
        self.can: Bools = self.stocked & (self.weight_g[None, :] <= limit_g[:, None])
        self.ready_ms = snapshot.ready_ms(self.options.node, now_ms)
        self.full = set(crowded)
        self.slot_of: dict[int, str] = {}
        self._take_slots()
        self.failing = self._failing()
        self.arrivals = Arrivals(snapshot, self.options, self.ready_ms, now_ms)

    def _options(self) -> Options:
        """The ways that the fences leave open: area, opening, lane, the customer's choice."""
        snapshot, question = self.snapshot, self.question
        if question.fulfilment.kind == "delivery":
            assert question.destination is not None
            options = snapshot.options(question.destination.region)
        else:
            node = snapshot.node_ix.get(question.fulfilment.node_id or question.store_id)
            options = snapshot.counter(node)
        if not question.failed:
            return options
        failed = [snapshot.node_ix[name] for name in question.failed if name in snapshot.node_ix]
        return options.where(~np.isin(options.node, failed))

    def _take_slots(self) -> None:
        """Where nodes have announced slots, a package waits for the first with room."""
        if self.question.fulfilment.kind == "carry_out":
            return  # Nobody picks it.
        for node_id in self.known.slots.nodes():
            node = self.snapshot.node_ix.get(node_id, -1)
            rows = np.flatnonzero(self.options.node == node)
            if not rows.size:
                continue
            slot = self.known.slots.first(node_id, int(self.ready_ms[rows[0]]))
            if slot is None:
                self.full.add(node)
            else:
                self.slot_of[node] = slot.sku
                self.ready_ms[rows] = np.maximum(self.ready_ms[rows], slot.starts_ms)
        if self.full:
            self.can[np.isin(self.options.node, list(self.full))] = False

    def crowded(self, plan: Plan) -> set[int]:
        """Nodes that the plan gives more packages than this edge may put into their slot."""
        packages = Counter(self.snapshot.node_ix[x.node_id] for x in plan.packages if x.slot)
        return {
            node
            for node, count in packages.items()
            if count
            > self.known.slots.share(self.snapshot.network.nodes[node].node_id, self.slot_of[node])
        }

    def _failing(self) -> Ints:
        """int64[O, G], what a failed pick of each group by each option costs, times its chance."""
        cost: Ints = np.zeros(self.can.shape, np.int64)
        reroute = self.snapshot.network.profile.reroute_minor
        ends = [*self.starts[1:].tolist(), len(self.skus)]
        for group, (start, end) in enumerate(zip(self.starts.tolist(), ends, strict=True)):
            for sku in self.skus[start:end]:
                for node_id, chance in self.known.failures.chances(sku, self.now_ms):
                    node = self.snapshot.node_ix.get(node_id, -1)
                    cost[self.options.node == node, group] += reroute * chance // 1_000
        return np.minimum(cost, reroute)

    def packages_max(self) -> int:
        """How many packages are still allowed."""
        profile, customer = self.snapshot.network.profile, self.question.customer
        limit = profile.packages_max
        if customer.packages_max is not None:
            limit = min(limit, customer.packages_max)
        return limit - self.question.packages_used

    def problem(self, chosen: Ints, packages_max: int) -> Problem:
        """The solver's arrays for the chosen groups."""
        snapshot, options = self.snapshot, self.options
        profile = snapshot.network.profile
        fixed = snapshot.handling_minor[options.node]
        deadline = self.question.fulfilment.deadline
        if deadline is not None:
            fixed = fixed + self.arrivals.cost_minor(to_ms(deadline), profile)
        can, failing = self.can, self.failing
        if len(chosen) < len(self.groups):
            can = np.ascontiguousarray(can[:, chosen])
            failing = np.ascontiguousarray(failing[:, chosen])
        return Problem(
            weight_g=self.weight_g[chosen],
            can=can,
            assign=failing,
            fixed=fixed,
            tariff=options.tariff,
            step_g=snapshot.step_g,
            step_price=snapshot.step_price,
            split_cost=profile.split_cost_minor,
            packages_max=packages_max,
        )

    def packages(self, problem: Problem, solution: Solution, chosen: Ints) -> list[Package]:
        """The packages of a solution, by name."""
        deadline = self.question.fulfilment.deadline
        deadline_ms = None if deadline is None else to_ms(deadline)
        packages = []
        for number, option in enumerate(int(option) for option in solution.option):
            inside = np.flatnonzero(solution.package == number)
            weight_g = int(problem.weight_g[inside].sum())
            tariff = problem.tariff[option]
            step = int(np.argmax(problem.step_g[tariff] >= weight_g))
            cost = int(problem.fixed[option] + problem.step_price[tariff, step])
            cost += int(problem.assign[option, inside].sum())
            promise = self.arrivals.promise(option, deadline_ms)
            late_ms = 0 if deadline_ms is None else max(0, promise.arrives_ms - deadline_ms)
            wants = sorted(
                (want for group in inside for want in self.groups[chosen[group]]),
                key=lambda want: want.line,
            )
            packages.append(
                Package(
                    package=number,
                    node_id=self.snapshot.network.nodes[self.options.node[option]].node_id,
                    service_id=self.snapshot.service_id(int(self.options.service[option])),
                    lines=[
                        PlannedLine(line=want.line, sku=want.sku, quantity=want.quantity)
                        for want in wants
                    ],
                    cost_minor=cost,
                    ready_at=to_datetime(int(self.ready_ms[option])),
                    arrives_at=to_datetime(promise.arrives_ms),
                    edd_at=to_datetime(promise.edd_ms),
                    on_time_per_mille=promise.on_time_per_mille,
                    late_s=min(late_ms // 1000, 10**9),
                    slot=self.slot_of.get(int(self.options.node[option])),
                )
            )
        return packages

    def shortages(self, routed: Bools, solved: bool) -> list[Shortage]:
        """Every line outside the plan, and the first thing that kept it out."""
        found: list[Shortage] = []
        if solved and routed.all():
            return found
        reachable = self.options.node
        in_stock = dict(zip(self.skus, _any(self.enough[:, reachable], 1), strict=True))
        stocked = _any(self.stocked, 0)
        for number, group in enumerate(self.groups):
            if routed[number] and solved:
                continue
            candidates = self._candidates(number)
            first = min(want.line for want in group)
            for want in group:
                reason: ShortageReason
                if not reachable.size:
                    reason = "unroutable"
                elif not in_stock[want.sku]:
                    reason = "share"
                elif not stocked[number]:
                    reason = "ship_together"
                elif not routed[number]:
                    reason = "capacity" if self._picked_nowhere(number) else "unroutable"
                else:
                    reason = "packages_max"
                found.append(
                    Shortage(
                        line=want.line,
                        sku=want.sku,
                        quantity=want.quantity,
                        reason=reason,
                        nodes=candidates,
                        group=first if reason in ("share", "ship_together") else -1,
                    )
                )
        return sorted(found, key=lambda shortage: shortage.line)

    def _picked_nowhere(self, group: int) -> bool:
        """Whether a node has the whole group, and only lacks somebody to pick it."""
        nodes = self.options.node[self.stocked[:, group]]
        return bool(self.full.intersection(nodes.tolist()))

    def _candidates(self, group: int) -> list[str]:
        """Nodes that could ship a group if they had it, the cheapest first."""
        snapshot, options = self.snapshot, self.options
        fits = snapshot.step_g[options.tariff] >= self.weight_g[group]
        step = np.argmax(fits, axis=1)
        price = snapshot.step_price[options.tariff, step] + snapshot.handling_minor[options.node]
        price = price + self.failing[:, group]
        found: dict[int, None] = {}
        for option in np.argsort(price, kind="stable").tolist():
            node = int(options.node[option])
            if fits[option].any() and node not in self.full:
                found[node] = None
                if len(found) == CANDIDATES_MAX:
                    break
        return [snapshot.network.nodes[node].node_id for node in found]

    def exclusions(self) -> list[Exclusion]:
        """Why each node that is in no option for any group is out."""
        snapshot, question = self.snapshot, self.question
        offered = set(self.options.node.tolist())
        idle = np.ones(len(snapshot.network.nodes), np.bool_)
        idle[self.options.node[_any(self.can, 1)]] = False
        stocked = _any(self.can_node, 0)
        found = []
        for i in np.flatnonzero(idle).tolist():
            node = snapshot.network.nodes[i]
            code: ExclusionCode
            if i in self.full and stocked[i]:
                code = "capacity"
            elif i in offered:
                code = "carrier_limit" if stocked[i] else "share"
            elif node.node_id in question.failed:
                code = "failed_before"
            elif not snapshot.open[i]:
                code = "closed"
            elif question.fulfilment.kind != "delivery":
                code = "not_chosen_by_customer"
            elif question.destination and not snapshot.serves(i, question.destination.region):
                code = "area"
            else:
                code = "no_lane"
            found.append(Exclusion(node_id=node.node_id, code=code))
        return found

    def digest(self) -> str:
        """Hash over every input that is not in the question itself."""
        digest = hashlib.blake2b(self.snapshot.digest, digest_size=16)
        digest.update(self.now_ms.to_bytes(8, "big"))
        digest.update(self.question.packages_used.to_bytes(8, "big"))
        digest.update(",".join(sorted(self.question.failed)).encode())
        digest.update(self.shares.tobytes())
        if self.failing.any():  # Mostly nothing has failed, and it is the largest input.
            digest.update(self.failing.tobytes())
        digest.update(repr((sorted(self.full), sorted(self.slot_of.items()))).encode())
        return digest.hexdigest()


def _any(table: Bools, axis: int) -> Bools:
    """`any` along an axis of a two-dimensional table; numpy's own type also allows a scalar."""
    found: Bools = np.logical_or.reduce(table, axis=axis)
    return found


def route(
    snapshot: Snapshot,
    stock: Stock,
    question: Question,
    now_ms: int,
    slots: Slots | None = None,
    failures: Failures | None = None,
) -> Routed:
    """Decide which node ships which lines.

    Args:
        snapshot: the network; every SKU and node of the question is in it.
        stock: shares laid out for the same snapshot.
        question: lines and wishes; at least one line.
        now_ms: the time of the decision, milliseconds since 1970 UTC.
        slots: pick capacity; none is limited without.
        failures: what picks have taught.
    """
    known = Known(snapshot, stock, slots or Slots(), failures or Failures())
    crowded: set[int] = set()
    while True:
        gathered = _Gathered(known, question, now_ms, crowded)
        answer = _solve(gathered)
        over = gathered.crowded(answer.plan) if answer.plan is not None else set()
        if not over:
            return answer
        crowded |= over  # Rare: two packages of one node, and room for one. It ends: it grows.


def _solve(gathered: _Gathered) -> Routed:
    routed = _any(gathered.can, 0)
    chosen = np.flatnonzero(routed)
    # What waits will need a package of its own one day: keep room for it.
    packages_max = gathered.packages_max() - (0 if routed.all() else 1)
    if not chosen.size or packages_max < 1:
        return Routed(None, gathered.shortages(routed, solved=False))
    problem = gathered.problem(chosen, packages_max)
    solution = solve(problem)
    if not isinstance(solution, Solution):
        return Routed(None, gathered.shortages(routed, solved=False))
    network = gathered.snapshot.network
    plan = Plan(
        packages=gathered.packages(problem, solution, chosen),
        cost=Money(minor=solution.cost, currency=network.currency),
        bound_minor=solution.bound,
        optimal=solution.optimal,
        profile=network.profile.version,
        snapshot=gathered.digest(),
        excluded=gathered.exclusions(),
        stale=gathered.arrivals.stale(),
    )
    return Routed(plan, gathered.shortages(routed, solved=True))
