"""Solving a routing problem: exactly if it is small, with a proven bound if it is large."""

from __future__ import annotations

import numpy as np

from edge.routing import large, subset
from edge.routing.problem import Infeasible, Problem, Solution

work_max_default = 20_000_000
"""Work budget for large orders: elementary steps, about a nanosecond each."""


def solve(problem: Problem, work_max: int = work_max_default) -> Solution | Infeasible:
    """Cheapest plan of a problem.

    The same problem and budget give the same answer on every machine; the budget counts
    steps of the computation, never time.

    Args:
        problem: What to decide; trusted to be valid (``Problem.validate``).
        work_max: Budget of elementary steps for orders with more than
            ``subset.groups_exact_max`` groups; smaller orders are always solved exactly,
            and those that are little larger if the budget did not do.

    Returns:
        The plan with its bound, or ``Infeasible``.
    """
    groups, options = len(problem.weight_g), len(problem.fixed)
    if groups <= subset.groups_exact_max:
        return solve_subset(problem)
    answer = solve_large(problem, work_max)
    settled = answer.optimal if isinstance(answer, Solution) else answer.proved
    few = groups <= subset.groups_possible_max and options << groups <= subset.steps_possible_max
    # A few heavy groups are hard to bound, and soon tried in every way.
    return solve_subset(problem) if few and not settled else answer


def solve_subset(problem: Problem) -> Solution | Infeasible:
    """Solve a problem of at most ``subset.groups_possible_max`` groups exactly."""
    assert len(problem.weight_g) <= subset.groups_possible_max, "too many groups"
    cost, package, option = subset.subset_plan(
        problem.weight_g,
        problem.can,
        problem.assign,
        problem.fixed,
        problem.tariff,
        problem.step_g,
        problem.step_price,
        problem.split_cost,
        problem.packages_max,
    )
    if cost < 0:
        return Infeasible(proved=True, method="subset")
    return Solution(package, option, cost, bound=cost, optimal=True, method="subset")


def solve_large(problem: Problem, work_max: int = work_max_default) -> Solution | Infeasible:
    """Solve a problem of any size by branch and bound within the work budget."""
    return large.large_plan(problem, work_max)


def warm() -> None:
    """Load the kernels from the cache, or compile them, and run each once.

    To be called at install and at start, so that no order waits for it.
    """
    one = np.ones(1, np.int64)
    table = np.ones((1, 1), np.int64)
    problem = Problem(
        weight_g=one,
        can=np.ones((1, 1), np.bool_),
        assign=table,
        fixed=one,
        tariff=np.zeros(1, np.int64),
        step_g=table,
        step_price=table,
        split_cost=0,
        packages_max=1,
    )
    problem.validate()
    small, big = solve_subset(problem), solve_large(problem)
    assert isinstance(small, Solution)
    assert isinstance(big, Solution)
    assert small.cost == big.cost == 3
