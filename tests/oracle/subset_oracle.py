"""The routing problem by brute force: every partition of the groups, every option.

Written to be obviously right. It shares the definition of ties with the kernel: least
cost, then fewest packages, then the lexicographically smallest list of (option, set as
bit mask) in order of packages, which are numbered by their first group.
"""

from __future__ import annotations

from collections.abc import Iterator

from edge.routing.problem import Problem


def partitions(groups: list[int]) -> Iterator[list[list[int]]]:
    """Every partition of the groups; sets are ordered by their first group."""
    if not groups:
        yield []
        return
    first, others = groups[0], groups[1:]
    for chosen in range(1 << len(others)):
        with_first = [g for i, g in enumerate(others) if chosen >> i & 1]
        rest = [g for i, g in enumerate(others) if not chosen >> i & 1]
        for partition in partitions(rest):
            yield [[first, *with_first], *partition]


def package_cost(problem: Problem, o: int, groups: list[int]) -> int | None:
    """Cost of a package, None if it is not allowed."""
    if not all(problem.can[o, g] for g in groups):
        return None
    weight_g = sum(int(problem.weight_g[g]) for g in groups)
    steps = zip(
        problem.step_g[problem.tariff[o]], problem.step_price[problem.tariff[o]], strict=True
    )
    for bound_g, price in steps:
        if bound_g >= 0 and weight_g <= bound_g:
            assigned = sum(int(problem.assign[o, g]) for g in groups)
            return int(problem.fixed[o]) + int(price) + assigned
    return None


def best_plan(problem: Problem) -> tuple[int, list[tuple[int, int]]] | None:
    """Cost and packages (option, set as bit mask) of the best plan, None if there is none."""
    cheapest: dict[int, tuple[int, int]] = {}
    for mask in range(1, 1 << len(problem.weight_g)):
        groups = [g for g in range(len(problem.weight_g)) if mask >> g & 1]
        for o in range(len(problem.fixed)):
            cost = package_cost(problem, o, groups)
            if cost is not None and (mask not in cheapest or (cost, o) < cheapest[mask]):
                cheapest[mask] = cost, o
    best = None
    for partition in partitions(list(range(len(problem.weight_g)))):
        masks = [sum(1 << g for g in groups) for groups in partition]
        if len(masks) > problem.packages_max or any(mask not in cheapest for mask in masks):
            continue
        cost = sum(cheapest[mask][0] for mask in masks) + problem.split_cost * (len(masks) - 1)
        key = cost, len(masks), [(cheapest[mask][1], mask) for mask in masks]
        best = key if best is None else min(best, key)
    return None if best is None else (best[0], best[2])
