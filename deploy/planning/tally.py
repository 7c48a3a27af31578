"""What plans add up to: cost, splits, promise, load per node."""

import msgspec

from deploy.planning.formats import ComparedOrder, NodeLoad, Outcome, PlannedOrder, Summary
from deploy.planning.orders import Asked
from deploy.planning.planner import Planner
from shared.parts import Package

_HOUR_S = 3600


class Tally:
    """Counts the plans of one planner."""

    def __init__(self, planner: Planner) -> None:
        """See the class."""
        network = planner.snapshot.network
        self._profile = planner.name
        self._weight_g = {product.sku: product.weight_g for product in network.products}
        self._counts: dict[str, int] = dict.fromkeys(
            ("orders", "planned", "parked_orders", "parked_lines", "packages", "split", "late",
             "optimal", "cost_minor", "freight_minor"), 0
        )  # fmt: skip
        self._load = {node.node_id: [0, 0, 0] for node in network.nodes}
        self._promise_s = 0.0
        self._gap_max = 0.0

    def add(self, asked: Asked, planned: PlannedOrder) -> Outcome:
        """Count a plan; returns it in short."""
        counts, plan = self._counts, planned.plan
        counts["orders"] += 1
        counts["parked_orders"] += bool(planned.parked)
        counts["parked_lines"] += len(planned.parked)
        if plan is None:
            return Outcome(parked=len(planned.parked))
        freight = sum(x.terms.handling_minor + x.terms.tariff_minor for x in plan.packages)
        last = max(plan.packages, key=lambda package: package.arrives_at)
        counts["planned"] += 1
        counts["packages"] += len(plan.packages)
        counts["split"] += len(plan.packages) > 1
        counts["late"] += any(package.late_s for package in plan.packages)
        counts["optimal"] += plan.optimal
        counts["cost_minor"] += plan.cost.minor
        counts["freight_minor"] += freight
        self._promise_s += (last.arrives_at - asked.at).total_seconds()
        if plan.cost.minor:
            self._gap_max = max(self._gap_max, 1 - plan.bound_minor / plan.cost.minor)
        for package in plan.packages:
            load = self._load[package.node_id]
            load[0] += 1
            load[1] += sum(line.quantity for line in package.lines)
            load[2] += self._grams(package)
        return Outcome(
            cost_minor=plan.cost.minor,
            freight_minor=freight,
            nodes=[package.node_id for package in plan.packages],
            promised_at=last.arrives_at,
            late_s=max(package.late_s for package in plan.packages),
            parked=len(planned.parked),
        )

    def summary(self) -> Summary:
        """Everything so far; nodes in the network's order, idle ones left out."""
        planned = self._counts["planned"]
        nodes = [
            NodeLoad(node_id=node_id, packages=packages, units=units, weight_g=grams)
            for node_id, (packages, units, grams) in self._load.items()
            if packages
        ]
        return msgspec.structs.replace(
            Summary(profile=self._profile, orders=0, nodes=nodes),
            gap_max=round(self._gap_max, 6),
            promise_h=round(self._promise_s / _HOUR_S / planned, 3) if planned else 0.0,
            **self._counts,
        )

    def _grams(self, package: Package) -> int:
        return sum(line.quantity * self._weight_g[line.sku] for line in package.lines)


def compared(asked: Asked, a: Outcome, b: Outcome) -> ComparedOrder:
    """One order under both profiles."""
    change = None
    if a.promised_at is not None and b.promised_at is not None:
        change = round((b.promised_at - a.promised_at).total_seconds())
    return ComparedOrder(
        id=asked.id,
        a=a,
        b=b,
        cost_change_minor=b.freight_minor - a.freight_minor,
        promise_change_s=change,
    )


def ships_otherwise(a: PlannedOrder, b: PlannedOrder) -> bool:
    """Whether other nodes, services or lines are in the plans."""
    return _ways(a) != _ways(b)


def _ways(planned: PlannedOrder) -> list[tuple[str, str, tuple[int, ...]]]:
    if planned.plan is None:
        return []
    return sorted(
        (package.node_id, package.service_id, tuple(line.line for line in package.lines))
        for package in planned.plan.packages
    )
