"""Other plans for the same question: the fastest, the fewest packages, the lowest carbon.

Each is the exact best at its aim where the solver is exact; of the fastest and of those with the
fewest packages, and mostly of the cleanest, it is the cheapest. A plan that another one beats in
every way is left out: what is left is a small Pareto set.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from edge.routing.attempt import Attempt, crowded
from edge.routing.problem import Problem, Solution, plan_cost_max
from edge.routing.question import Routed
from edge.routing.relaxing import Clash
from edge.routing.solve import solve
from edge.routing.telling import cost_of, told
from shared.clock import to_ms
from shared.parts import Aim, Alternative, Plan

_AIMS: Final[tuple[Aim, ...]] = ("cost", "arrival", "packages", "carbon")

Marks = tuple[int, int, int, int]
"""How good a plan is at each aim, the less the better."""


def alternatives(first: Attempt, cheapest: Routed, clash: Clash) -> list[Alternative]:
    """The Pareto set of plans that ship the same lines, each with what it is best at.

    Args:
        first: the cheapest plan, as it was found.
        cheapest: the same, told.
        clash: what no plan keeps all at once.
    """
    if first.problem is None or first.solution is None or cheapest.plan is None:
        return []
    plans = {_marks(cheapest.plan): cheapest.plan}
    for solution in _others(first, first.problem):
        found = _priced(replace(first, solution=solution), first.solution.bound)
        if crowded(found):
            continue  # Two packages, and room for one.
        other = told(found, clash)
        if other.plan is not None and len(other.shortages) == len(cheapest.shortages):
            plans.setdefault(_marks(other.plan), other.plan)
    best = [min(column) for column in zip(*plans, strict=True)]
    kept = []
    for marks, plan in plans.items():
        beaten = any(
            all(a <= b for a, b in zip(other, marks, strict=True))
            for other in plans
            if other != marks
        )
        best_at = [aim for aim, own, least in zip(_AIMS, marks, best, strict=True) if own == least]
        if best_at and not beaten:
            kept.append(Alternative(best_at=best_at, plan=plan))
    return kept


def _marks(plan: Plan) -> Marks:
    arrival = max(to_ms(package.edd_at or package.arrives_at) for package in plan.packages)
    carbon_g = sum(package.carbon_g for package in plan.packages)
    return plan.cost.minor, arrival, len(plan.packages), carbon_g


def _others(first: Attempt, problem: Problem) -> Iterator[Solution]:
    assert first.solution is not None
    yield from _fastest(first, problem)
    fewest = _least(
        range(1, len(first.solution.option)), lambda n: solve(replace(problem, packages_max=n))
    )
    if fewest is not None:
        yield fewest
    yield from _cleanest(first, problem)


def _cleanest(first: Attempt, problem: Problem) -> Iterator[Solution]:
    """The plan of the lowest carbon; of several, the cheapest, where both fit into one number."""
    options, weight_g = first.gathered.options, problem.weight_g
    package_mg = options.carbon_g * 1_000
    group_mg = options.carbon_g_per_kg[:, None] * weight_g
    if not package_mg.any() and not group_mg.any():
        return
    clean = replace(
        problem,
        fixed=package_mg,
        assign=group_mg,
        step_price=np.where(problem.step_g >= 0, 0, problem.step_price),
        split_cost=0,
    )
    if clean.cost_max() > plan_cost_max:
        return  # tonnes of it: nothing that a parcel brings about
    scale = problem.cost_max() + 1
    if clean.cost_max() * scale <= plan_cost_max:
        clean = replace(
            problem,
            fixed=package_mg * scale + problem.fixed,
            assign=group_mg * scale + problem.assign,
        )
    cleanest = solve(clean)
    if isinstance(cleanest, Solution):
        yield cleanest


def _fastest(first: Attempt, problem: Problem) -> Iterator[Solution]:
    """The cheapest plan whose last package's median arrival is the earliest possible."""
    usable = np.flatnonzero(problem.can.any(axis=1))
    edd_ms = np.full(len(problem.fixed), np.iinfo(np.int64).max)
    edd_ms[usable] = [first.gathered.arrivals.edd_ms(option) for option in usable.tolist()]
    moments = np.unique(edd_ms[usable]).tolist()
    fastest = _least(
        moments,
        lambda latest: solve(replace(problem, can=problem.can & (edd_ms <= latest)[:, None])),
    )
    if fastest is not None:
        yield fastest


def _least(steps: Sequence[int], solved: Callable[[int], object]) -> Solution | None:
    """The solution at the first step that has one; whoever has one at a step has one behind it."""
    low, high, best = 0, len(steps) - 1, None
    while low <= high:
        middle = (low + high) // 2
        found = solved(steps[middle])
        if isinstance(found, Solution):
            best, high = found, middle - 1
        else:
            low = middle + 1
    return best


def _priced(found: Attempt, bound: int) -> Attempt:
    """A plan that was found by other costs, at its real one."""
    gathered, solution = found.gathered, found.solution
    assert solution is not None
    cost = gathered.asked.profile.split_cost_minor * (len(solution.option) - 1)
    for option, groups in found.packages:
        cost += cost_of(gathered.terms(option, groups, int(gathered.weight_g[groups].sum())))
    return replace(found, solution=replace(solution, cost=cost, bound=bound, optimal=cost == bound))
