"""What the rooms of the large solver compute, in a few obvious lines each."""

from __future__ import annotations

from itertools import combinations, combinations_with_replacement

from edge.routing.problem import Problem
from tests.oracle.subset_oracle import package_cost


def sums(weights: list[int]) -> set[int]:
    """Every sum of some of the weights."""
    found = {0}
    for weight in weights:
        found |= {total + weight for total in found}
    return found


def cheapest_cover(cost_of_cap: list[tuple[int, int]], weight: int, packages_max: int) -> int:
    """Least cost of packages (cap, cost) whose caps hold a weight together."""
    return min(
        sum(cost for _, cost in some)
        for count in range(1, packages_max + 1)
        for some in combinations_with_replacement(cost_of_cap, count)
        if sum(cap for cap, _ in some) >= weight
    )


def payable(problem: Problem, o: int) -> dict[int, int]:
    """Heaviest package that pays each cost on an option, over every set of groups."""
    heaviest: dict[int, int] = {}
    groups = range(len(problem.weight_g))
    for size in range(1, len(groups) + 1):
        for some in combinations(groups, size):
            cost = package_cost(problem, o, list(some))
            if cost is not None:
                cost -= sum(int(problem.assign[o, g]) for g in some)
                weight = sum(int(problem.weight_g[g]) for g in some)
                heaviest[cost] = max(weight, heaviest.get(cost, 0))
    return heaviest
