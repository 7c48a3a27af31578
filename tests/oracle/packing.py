"""The routing problem as packages that a solver may open, built from its arrays alone.

Both models, for HiGHS and for CP-SAT, are written over this description and share nothing
with the product but the definition of `Problem`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge.routing.problem import Problem


@dataclass(frozen=True, slots=True)
class Weight:
    """A weight step of one package.

    Attributes:
        low_g: lightest package that pays this price.
        cap_g: heaviest one.
        cost: minor units: the package's fixed cost, the split cost and the step's price.
    """

    low_g: int
    cap_g: int
    cost: int


@dataclass(frozen=True, slots=True)
class Slot:
    """A package that may be opened: the `copy`-th on an option.

    Attributes:
        groups: the groups that may be in it.
        assign: what each of them costs there.
        steps: by weight, ascending.
    """

    option: int
    copy: int
    groups: list[int]
    assign: list[int]
    steps: list[Weight]

    def falls(self) -> bool:
        """Whether some heavier package is cheaper: then a step needs its lower bound, too."""
        return any(b.cost < a.cost for a, b in zip(self.steps, self.steps[1:], strict=False))


def slots_of(problem: Problem, reduced: bool) -> list[Slot]:
    """Every package that some optimal plan may need.

    Args:
        problem: what to decide.
        reduced: leave out each option that another one can stand in for at no more cost, which
            is a help to the solvers that their times do not include.
    """
    found: list[list[Slot]] = []
    for o in range(len(problem.fixed)):
        groups = [int(g) for g in np.flatnonzero(problem.can[o])]
        reach_g = int(problem.weight_g[groups].sum())
        steps = _steps(problem, o, reach_g)
        groups = [g for g in groups if steps and problem.weight_g[g] <= steps[-1].cap_g]
        if not groups:
            continue
        assign = [int(problem.assign[o, g]) for g in groups]
        copies = 1 if _one_is_enough(steps, reach_g) else len(groups)
        copies = min(copies, problem.packages_max)
        found.append([Slot(o, copy, groups, assign, steps) for copy in range(copies)])
    if reduced:
        every, found = sorted(found, key=_breadth), []
        for slots in every:
            if not any(_stands_in(slots[0], other[0]) for other in found):
                found.append(slots)
    return [slot for slots in found for slot in slots]


def _breadth(slots: list[Slot]) -> tuple[int, int]:
    return -len(slots[0].groups), sum(slots[0].assign)


def _stands_in(slot: Slot, other: Slot) -> bool:
    """Whether the other option ships whatever this one may, never for more."""
    price = dict(zip(other.groups, other.assign, strict=True))
    mine = zip(slot.groups, slot.assign, strict=True)
    if not all(g in price and price[g] <= cost for g, cost in mine):
        return False
    heaviest_g = min(slot.steps[-1].cap_g, other.steps[-1].cap_g)
    return heaviest_g == slot.steps[-1].cap_g and all(
        step.cost >= theirs.cost
        for step in slot.steps
        for theirs in other.steps
        if theirs.low_g <= step.cap_g and theirs.cap_g >= step.low_g
    )


def _steps(problem: Problem, o: int, reach_g: int) -> list[Weight]:
    base = int(problem.fixed[o]) + problem.split_cost
    found: list[Weight] = []
    low = 0
    tariff = problem.tariff[o]
    for cap, price in zip(problem.step_g[tariff], problem.step_price[tariff], strict=True):
        if cap < 0 or low > reach_g:
            break
        found.append(Weight(low, min(int(cap), reach_g), base + int(price)))
        low = int(cap) + 1
    return found


def _one_is_enough(steps: list[Weight], reach_g: int) -> bool:
    """Whether two packages on the option can always be joined for no more."""
    if not steps or steps[-1].cap_g < reach_g:
        return False
    return all(
        whole.cost <= a.cost + b.cost
        for a in steps
        for b in steps
        for whole in steps
        if whole.low_g <= min(a.cap_g + b.cap_g, reach_g) and whole.cap_g >= a.low_g + b.low_g
    )


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a solver says.

    Attributes:
        cost: of its best plan; None: it has none.
        proven: whether that is the optimum, or proof that there is no plan.
        seconds: solving alone, without building the model.
    """

    cost: int | None
    proven: bool
    seconds: float
