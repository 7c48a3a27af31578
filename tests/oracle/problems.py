"""Seeded routing problems, and what must be true of every answer."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

from edge.routing.problem import Infeasible, Problem, Solution
from tests.oracle.subset_oracle import package_cost


def random_problem(
    seed: int,
    groups: int,
    options: int,
    *,
    can: float = 0.7,
    cost_max: int = 300,
    weight_max: int = 3000,
    packages_max: int | None = None,
    limited: bool = True,
) -> Problem:
    """A seeded problem; small ``cost_max`` makes ties, ``limited`` makes carrier limits."""
    rng = np.random.default_rng(seed)
    tariffs, steps = 4, 5
    step_g = np.cumsum(rng.integers(1, weight_max, (tariffs, steps)), axis=1)
    if limited:
        lengths = rng.integers(0, steps + 1, tariffs)
        step_g[np.arange(steps) >= lengths[:, None]] = -1
    else:
        step_g[:, -1] = groups * weight_max + step_g[:, -2] + 1
    problem = Problem(
        weight_g=rng.integers(0, weight_max, groups),
        can=rng.random((options, groups)) < can,
        assign=rng.integers(0, cost_max, (options, groups)),
        fixed=rng.integers(0, 2 * cost_max, options),
        tariff=rng.integers(0, tariffs, options),
        step_g=step_g,
        step_price=rng.integers(0, 3 * cost_max, (tariffs, steps)),
        split_cost=int(rng.integers(0, cost_max)),
        packages_max=packages_max or groups,
    )
    problem.validate()
    return problem


def packages_of(solution: Solution) -> list[tuple[int, int]]:
    """Option and set as bit mask of every package."""
    return [
        (int(o), sum(1 << int(g) for g in np.flatnonzero(solution.package == p)))
        for p, o in enumerate(solution.option)
    ]


def cost_of(problem: Problem, solution: Solution) -> int:
    """Cost of a plan by its definition; asserts that it is allowed."""
    assert len(solution.option) <= problem.packages_max
    firsts = [int(np.argmax(solution.package == p)) for p in range(len(solution.option))]
    assert firsts == sorted(firsts)
    assert set(solution.package.tolist()) == set(range(len(solution.option)))
    total = problem.split_cost * (len(solution.option) - 1)
    for p, o in enumerate(solution.option):
        cost = package_cost(problem, int(o), np.flatnonzero(solution.package == p).tolist())
        assert cost is not None
        total += cost
    return total


def carrier_problem(
    seed: int, groups: int, *, nodes: int = 6, stocked: float = 0.5, bids: bool = False
) -> Problem:
    """A seeded problem as networks have them: three services at every node, one stock.

    Tariffs ascend by kilogram steps, a base and a price per kilogram by zone, and end at
    the service's limit; ``bids`` gives the units of each node a price.
    """
    rng = np.random.default_rng(seed)
    rates = ((180, 12, 2_000), (290, 22, 300), (540, 55, 30))
    bounds_kg = np.array([1, 2, 3, 5, 8, 12, 20, 30, 50, 70, 100, 150, 300, 600, 1_000, 2_000])
    step_g, step_price = [], []
    for base, per_kg, limit_kg in rates:
        for zone in range(4):
            price = (base + per_kg * bounds_kg) * (5 + zone) // 5
            step_g.append(np.where(bounds_kg <= limit_kg, bounds_kg * 1000, -1))
            step_price.append(np.where(bounds_kg <= limit_kg, price, -1))
    node = np.repeat(np.arange(nodes), len(rates))
    service = np.tile(np.arange(len(rates)), nodes)
    stock = rng.random((nodes, groups)) < stocked
    stock[rng.integers(0, nodes, groups), np.arange(groups)] = True
    bid = rng.integers(0, 80, (nodes, groups)) * (rng.random((nodes, groups)) < 0.4) * bids
    problem = Problem(
        weight_g=10 * rng.integers(5, 500, groups),
        can=np.ascontiguousarray(stock[node]),
        assign=np.ascontiguousarray(bid[node]),
        fixed=rng.choice([60, 120], nodes)[node] + 40 * rng.integers(0, 3, nodes)[node],
        tariff=4 * service + rng.integers(0, 4, nodes)[node],
        step_g=np.array(step_g),
        step_price=np.array(step_price),
        split_cost=250,
        packages_max=8,
    )
    problem.validate()
    return problem


def assert_valid(
    problem: Problem, answer: Solution | Infeasible, optimum: int | None, *, exact: bool = False
) -> None:
    """What the large solver claims agrees with the optimum (None: there is no plan)."""
    if isinstance(answer, Infeasible):
        assert optimum is None or not answer.proved
        assert answer.proved or not exact
        return
    assert optimum is not None
    assert answer.method == "large"
    assert answer.cost == cost_of(problem, answer)
    assert 0 <= answer.bound <= optimum <= answer.cost
    assert answer.optimal == (answer.bound == answer.cost)
    assert answer.optimal or not exact


def assert_same(one: Solution | Infeasible, two: Solution | Infeasible) -> None:
    """Two answers are equal in every field."""
    assert isinstance(one, Solution)
    assert isinstance(two, Solution)
    assert one.package.tolist() == two.package.tolist()
    assert one.option.tolist() == two.option.tolist()
    assert (one.cost, one.bound, one.optimal) == (two.cost, two.bound, two.optimal)


def use_python(monkeypatch: pytest.MonkeyPatch, *modules: ModuleType) -> None:
    """Replace every kernel of some modules by the Python function it is compiled from."""
    for module in modules:
        for name, value in list(vars(module).items()):
            if hasattr(value, "py_func"):
                monkeypatch.setattr(module, name, value.py_func)
