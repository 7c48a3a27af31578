"""From a question to a plan: gather arrays, solve, name the answer.

Pure: the same snapshot, shares, question and time give the same plan, bit for bit.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from edge.network import Ints, Options, Snapshot
from edge.routing.problem import Problem, Solution
from edge.routing.solve import solve
from edge.stock import Stock
from shared.clock import to_datetime, to_ms
from shared.limits import COST_MINOR_MAX
from shared.parts import (
    Customer,
    Destination,
    Exclusion,
    ExclusionCode,
    Fulfilment,
    Money,
    Package,
    Plan,
    PlannedLine,
    Shortage,
    ShortageReason,
)

_HOUR_MS = 3_600_000
_LATE_H_MAX = 10_000

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Want:
    """A line that looks for a node: its number in the order, and its ship-together group."""

    line: int
    sku: str
    quantity: int
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be routed.

    Attributes:
        packages_used: packages that the order has already; they count against the limit.
        failed: nodes that failed this order before and are not asked again.
    """

    wants: Sequence[Want]
    fulfilment: Fulfilment
    store_id: str
    customer: Customer
    destination: Destination | None
    packages_used: int = 0
    failed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Routed:
    """A plan for what can be fulfilled now, and the lines that cannot."""

    plan: Plan | None
    shortages: list[Shortage]


def group_wants(wants: Sequence[Want], split_allowed: bool) -> list[list[Want]]:
    """Lines that ship together, in the order of their first lines.

    Lines of one group ship together, and so do lines of one SKU: two packages that draw on
    one cell would have to share it between them. Where the customer refuses splits, all do.
    """
    groups: list[list[Want]] = []
    home: dict[str, list[Want]] = {}
    for want in wants:
        keys = ["s " + want.sku] + ([] if want.group is None else ["g " + want.group])
        if not split_allowed:
            keys = ["all"]
        found = {id(group): group for key in keys if (group := home.get(key)) is not None}
        if not found:
            target: list[Want] = []
            groups.append(target)
        else:
            target, *others = sorted(found.values(), key=lambda group: group[0].line)
            for other in others:
                target.extend(other)
                groups.remove(other)
                home.update((key, target) for key, group in home.items() if group is other)
        target.append(want)
        home.update((key, target) for key in keys)
    return groups


class _Gathered:
    """One question as arrays. Entries are distinct SKUs within groups, grouped in order."""

    def __init__(self, snapshot: Snapshot, stock: Stock, question: Question, now_ms: int) -> None:
        self.snapshot = snapshot
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
        self.shares = stock.share[products]
        self.weight_g: Ints = np.add.reduceat(demand * snapshot.weight_g[products], starts)

        self.options = self._options()
        self.enough: Bools = self.shares >= demand[:, None]
        self.can_node: Bools = np.logical_and.reduceat(self.enough, starts, axis=0)
        self.stocked: Bools = np.ascontiguousarray(self.can_node[:, self.options.node].T)
        limit_g = snapshot.step_g[self.options.tariff].max(axis=1, initial=0)
        self.can: Bools = self.stocked & (self.weight_g[None, :] <= limit_g[:, None])
        self.ready_ms = snapshot.ready_ms(self.options.node, now_ms)
        self.arrives_ms: Ints = self.ready_ms + self.options.transit_h * _HOUR_MS

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
        keep = ~np.isin(options.node, failed)
        return Options(
            options.node[keep], options.service[keep], options.transit_h[keep], options.tariff[keep]
        )

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
        if deadline is not None and profile.late_minor_per_h:
            late_ms = np.maximum(self.arrives_ms - to_ms(deadline), 0)
            late_h = np.minimum(-(-late_ms // _HOUR_MS), _LATE_H_MAX)
            fixed = fixed + np.minimum(late_h * profile.late_minor_per_h, COST_MINOR_MAX)
        can = np.ascontiguousarray(self.can[:, chosen])
        return Problem(
            weight_g=self.weight_g[chosen],
            can=can,
            assign=np.zeros(can.shape, np.int64),
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
        packages = []
        for number, option in enumerate(int(option) for option in solution.option):
            inside = np.flatnonzero(solution.package == number)
            weight_g = int(problem.weight_g[inside].sum())
            tariff = problem.tariff[option]
            step = int(np.argmax(problem.step_g[tariff] >= weight_g))
            cost = int(problem.fixed[option] + problem.step_price[tariff, step])
            arrives_ms = int(self.arrives_ms[option])
            late_ms = 0 if deadline is None else max(0, arrives_ms - to_ms(deadline))
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
                    arrives_at=to_datetime(arrives_ms),
                    late_s=min(late_ms // 1000, 10**9),
                )
            )
        return packages

    def shortages(self, routed: Bools, solved: bool) -> list[Shortage]:
        """Every line outside the plan, and the first thing that kept it out."""
        found = []
        reachable = self.options.node
        in_stock = dict(zip(self.skus, _any(self.enough[:, reachable], 1), strict=True))
        stocked = _any(self.stocked, 0)
        for number, group in enumerate(self.groups):
            if routed[number] and solved:
                continue
            for want in group:
                reason: ShortageReason
                if not reachable.size:
                    reason = "unroutable"
                elif not in_stock[want.sku]:
                    reason = "share"
                elif not stocked[number]:
                    reason = "ship_together"
                elif not routed[number]:
                    reason = "unroutable"
                else:
                    reason = "packages_max"
                found.append(
                    Shortage(
                        line=want.line,
                        sku=want.sku,
                        quantity=want.quantity,
                        reason=reason,
                        node_id=self._only_node(),
                    )
                )
        return sorted(found, key=lambda shortage: shortage.line)

    def _only_node(self) -> str | None:
        """Where the customer stands, or will come to."""
        question = self.question
        if question.fulfilment.kind == "delivery":
            return None
        return question.fulfilment.node_id or question.store_id

    def exclusions(self) -> list[Exclusion]:
        """Why each node that is in no option for any group is out."""
        snapshot, question = self.snapshot, self.question
        offered = set(self.options.node.tolist())
        liftable = set(self.options.node[_any(self.can, 1)].tolist())
        stocked = _any(self.can_node, 0)
        found = []
        for i, node in enumerate(snapshot.network.nodes):
            code: ExclusionCode
            if i in liftable:
                continue
            if i in offered:
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

    def digest(self, now_ms: int) -> str:
        """Hash over every input that is not in the question itself."""
        digest = hashlib.blake2b(self.snapshot.digest, digest_size=16)
        digest.update(now_ms.to_bytes(8, "big"))
        digest.update(self.question.packages_used.to_bytes(8, "big"))
        digest.update(",".join(sorted(self.question.failed)).encode())
        digest.update(self.shares.tobytes())
        return digest.hexdigest()


def _any(table: Bools, axis: int) -> Bools:
    """`any` along an axis of a two-dimensional table; numpy's own type also allows a scalar."""
    found: Bools = np.logical_or.reduce(table, axis=axis)
    return found


def route(snapshot: Snapshot, stock: Stock, question: Question, now_ms: int) -> Routed:
    """Decide which node ships which lines.

    Args:
        snapshot: the network; every SKU and node of the question is in it.
        stock: shares laid out for the same snapshot.
        question: lines and wishes; at least one line.
        now_ms: the time of the decision, milliseconds since 1970 UTC.
    """
    gathered = _Gathered(snapshot, stock, question, now_ms)
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
    plan = Plan(
        packages=gathered.packages(problem, solution, chosen),
        cost=Money(minor=solution.cost, currency=snapshot.network.currency),
        bound_minor=solution.bound,
        optimal=solution.optimal,
        profile=snapshot.network.profile.version,
        snapshot=gathered.digest(now_ms),
        excluded=gathered.exclusions(),
    )
    return Routed(plan, gathered.shortages(routed, solved=True))
